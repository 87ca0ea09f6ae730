"""Sentence vectors of many texts by the packaged encoder, as the profile makes them, for heads that read only these."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detectors.batching.limits import ReaderLimits
from detectors.batching.reader import TextReader
from detectors.contract import TextReading, TextRequest
from detectors.text.encoder import Encoder
from detectors.text.reading import MiniLmModel, PreparedText, WindowReading


def read_vectors(encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float64]:
    """Return ``(texts, dim)`` unit vectors; raise ValueError for a text that the encoder cannot read."""
    reader: TextReader[TextRequest, PreparedText, WindowReading, TextReading] = TextReader(
        MiniLmModel(encoder, []), ReaderLimits(batch_tokens=1024, windows=128, cache_bytes=0)
    )
    readings = reader.read([TextRequest(text, frozenset()) for text in texts])
    vectors = []
    for reading in readings:
        if not isinstance(reading, TextReading):
            raise ValueError(f"a text could not be read: {reading.reason}")
        vectors.append(np.frombuffer(reading.vector, "<f2").astype(np.float64))
    return np.stack(vectors)
