"""Kinds of prompts of one service, learnt from its first prompts and then frozen: part of what makes a stratum.

A group that asks other things than everybody else gets other outcomes without being treated differently. So exchanges
are compared only among prompts that are alike. Topics are centres of embeddings, moved by the first ``LEARNT`` prompts
and fixed from then on. They depend on prompts alone, never on outcomes, so comparing inside them keeps every
guarantee, while they are learnt as well as afterwards.

A prompt without a usable embedding (none, zeros, NaN) has the topic ``none``. Another encoder starts a new generation:
its vectors cannot be compared with those of the one before.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

TOPICS: Final = 8
LEARNT: Final = 1_024
NO_TOPIC: Final = "none"
_ALIKE: Final = 0.7
"""While topics are free, a prompt whose cosine with every centre is below this opens a new one."""


class PromptTopics:
    """The topics of one service."""

    __slots__ = ("centres", "counts", "encoder", "generation")

    def __init__(self) -> None:
        self.encoder = ""
        self.generation = 0
        self.centres: NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)
        self.counts: list[int] = []

    def assign(self, encoder: str, vector: bytes | None) -> str:
        """Return the topic of a prompt, ``"<generation>.<number>"`` or ``"none"``; learn from it while there is room.

        ``vector`` is little-endian float16, as in ``detectors.model.Embedding``; ``encoder`` identifies what made it.
        """
        unit = _to_unit(vector)
        if unit is None:
            return NO_TOPIC
        if encoder != self.encoder or unit.shape[0] != self.centres.shape[1]:
            self.encoder, self.generation = encoder, self.generation + 1
            self.centres, self.counts = np.zeros((0, unit.shape[0]), dtype=np.float32), []
        lengths = np.maximum(np.linalg.norm(self.centres, axis=1), np.float32(1e-12))
        likeness = (self.centres @ unit) / lengths
        nearest = int(likeness.argmax()) if len(likeness) else 0
        if sum(self.counts) < LEARNT:
            if len(self.counts) < TOPICS and (not self.counts or likeness[nearest] < _ALIKE):
                nearest = len(self.counts)
                self.centres = np.concatenate([self.centres, unit[None, :]])
                self.counts.append(0)
            self.counts[nearest] += 1
            self.centres[nearest] += (unit - self.centres[nearest]) / np.float32(self.counts[nearest])
        return f"{self.generation}.{nearest}"

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON; ``from_json`` gives back the very same state."""
        return {
            "encoder": self.encoder,
            "generation": self.generation,
            "dim": self.centres.shape[1],
            "counts": self.counts,
            "centres": base64.b64encode(self.centres.astype("<f4").tobytes()).decode(),
        }

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> PromptTopics:
        """Return what ``to_json`` wrote; raise ``ValueError`` for a damaged state."""
        topics = cls()
        topics.encoder, topics.generation = str(written["encoder"]), int(written["generation"])
        topics.counts = [int(count) for count in written["counts"]]
        shape = (len(topics.counts), int(written["dim"]))
        numbers = np.frombuffer(base64.b64decode(written["centres"]), dtype="<f4")
        topics.centres = numbers.reshape(shape).astype(np.float32)
        if not np.isfinite(topics.centres).all():
            raise ValueError("a stored centre is not a number: the state is damaged")
        return topics


def _to_unit(vector: bytes | None) -> NDArray[np.float32] | None:
    if not vector:
        return None
    numbers = np.frombuffer(vector, dtype="<f2").astype(np.float32)
    length = np.linalg.norm(numbers)
    if not np.isfinite(length) or length < 1e-6:
        return None
    return np.asarray(numbers / length, dtype=np.float32)
