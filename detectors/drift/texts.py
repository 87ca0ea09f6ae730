"""Turns texts into the sentence vectors that the live monitors see: one pass of the builtin encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.batching.limits import ReaderLimits
from detectors.batching.reader import TextReader
from detectors.contract import TextReading, TextRequest
from detectors.text.encoder import fastest_precision, load_encoder
from detectors.text.reading import MiniLmModel, PreparedText, WindowReading

_BATCH: Final = 256
_LIMITS: Final = ReaderLimits(batch_tokens=1024, windows=128, cache_bytes=0)


def embed_texts(
    texts: Sequence[str], *, models_dir: Path | None = None, progress: Callable[[int], None] | None = None
) -> tuple[npt.NDArray[np.float16], str]:
    """Return vectors ``(n, dim)`` float16 and the encoder's name; a text that cannot be read gets a row of zeros.

    ``progress`` is told how many texts are done. Raises ModelFileError when the encoder is not installed.
    """
    encoder = load_encoder(models_dir, precision=fastest_precision("cpu"))
    reader: TextReader[TextRequest, PreparedText, WindowReading, TextReading] = TextReader(
        MiniLmModel(encoder, []), _LIMITS
    )
    vectors = np.zeros((len(texts), encoder.dim), dtype="<f2")
    for first in range(0, len(texts), _BATCH):
        batch = texts[first : first + _BATCH]
        readable = [text for text in batch if text.strip()]
        wanted = [TextRequest(text, frozenset()) for text in readable]
        readings = dict(zip(readable, reader.read(wanted), strict=True))
        for row, text in enumerate(batch):
            reading = readings.get(text)
            if isinstance(reading, TextReading):
                vectors[first + row] = np.frombuffer(reading.vector, dtype="<f2")
        if progress is not None:
            progress(first + len(batch))
    identity = encoder.identity
    return vectors, f"{identity.name}@{identity.version} {identity.digest}"
