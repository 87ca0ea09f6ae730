"""A two-layer network on the sentence vector of a prompt that says how much it reads like an attack.

Trained by ``training/train_injection.py``; what on, and how well it does, is on ``heads/injection.md``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.errors import ModelFileError

HEAD_FILE: Final = Path(__file__).resolve().parent.parent / "heads" / "injection.json"

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class InjectionHead:
    """``hidden`` is ``(units, dim)``, ``output`` ``(units,)``; both have offsets.

    The value is the probability mapped so that ``threshold`` becomes 0.5.
    """

    hidden: Floats
    hidden_offset: Floats
    output: Floats
    output_offset: float
    threshold: float

    def probability(self, vector: bytes) -> float:
        """Return the network's own probability for a vector of little-endian float16 numbers."""
        inner = self.hidden @ np.frombuffer(vector, "<f2").astype(np.float32) + self.hidden_offset
        logit = float(np.maximum(inner, 0.0) @ self.output) + self.output_offset
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, logit))))

    def value(self, vector: bytes) -> float:
        """Return the value in [0, 1]: 0.5 at the threshold, linear on both sides."""
        probability = self.probability(vector)
        if probability < self.threshold:
            return round(0.5 * probability / self.threshold, 4)
        return round(0.5 + 0.5 * (probability - self.threshold) / (1.0 - self.threshold), 4)


def load_injection_head(encoder_digest: str, file: Path = HEAD_FILE) -> InjectionHead:
    """Load the committed head, made for exactly the encoder of this digest; raises ModelFileError."""
    try:
        model: Mapping[str, Any] = json.loads(file.read_bytes())["model"]
        if model["encoder"] != encoder_digest:
            raise ModelFileError(f"the injection head was trained on encoder {model['encoder']}, not {encoder_digest}")
        return InjectionHead(
            np.array(model["hidden"], dtype=np.float32),
            np.array(model["hidden_offset"], dtype=np.float32),
            np.array(model["output"], dtype=np.float32),
            float(model["output_offset"]),
            float(model["threshold"]),
        )
    except OSError as error:
        raise ModelFileError(f"cannot read the injection head at {error.filename}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"the injection head {file} cannot be used: {type(error).__name__} at {error}") from error
