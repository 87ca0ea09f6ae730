"""What the drift monitors watch in exchanges that were just scored: vectors and numbers, each with its maker.

A stream has one value an exchange. What an exchange lacks is a row of zeros, or NaN: it counts as seen and is evidence
of nothing. Values of two makers (encoders, detectors) are two streams, because they mean different things.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from collector.exchanges import StoredExchange
from custodes.runtime.store_outcomes import Pair
from detectors.model import DetectorIdentity, Embedding

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

EMBEDDED: Final = ("prompt", "response")
"""Monitors of embeddings; all others watch a number."""
NOBODY: Final = ""
"""The maker of what the call itself says."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Values ``(n, dim)`` float16 or ``(n,)`` float64 of n exchanges, and how many of them mean something."""

    name: str
    maker: str
    values: npt.NDArray[Any]
    usable: int


def to_streams(pairs: Sequence[Pair], metrics: Sequence[str]) -> list[Stream]:
    """Return the streams of ``pairs`` with a value to watch, or whose maker at least is known."""
    return [*_embedded(pairs), *_numbers(pairs, metrics)]


def encoder_of(one: Embedding) -> str:
    """Return how monitors name the maker of an embedding: what scored, its digest, and the vectors' length."""
    return f"{identity_text(one.encoder)} dim {one.dim}"


def identity_text(identity: DetectorIdentity) -> str:
    """Return a detector's name, version and digest in one line."""
    return f"{identity.name}@{identity.version} {identity.digest}"


def is_embedded(name: str) -> bool:
    """Return whether a monitor watches embeddings."""
    return name in EMBEDDED


def _embedded(pairs: Sequence[Pair]) -> list[Stream]:
    import numpy as np  # noqa: PLC0415  # Serving does without it.

    from detectors.drift.reference import usable_rows  # noqa: PLC0415

    found: dict[tuple[str, str], npt.NDArray[np.float16]] = {}
    for row, (_, result) in enumerate(pairs):
        for one in result.embeddings:
            key = (one.field, encoder_of(one))
            if key not in found:
                found[key] = np.zeros((len(pairs), one.dim), dtype="<f2")
            found[key][row] = np.frombuffer(one.vector, dtype="<f2")
    return [
        Stream(name, maker, vectors, int(usable_rows(vectors.astype(np.float64)).sum()))
        for (name, maker), vectors in sorted(found.items())
    ]


def _numbers(pairs: Sequence[Pair], metrics: Sequence[str]) -> list[Stream]:
    import numpy as np  # noqa: PLC0415  # Serving does without it.

    wanted = frozenset(metrics)
    found: dict[tuple[str, str], npt.NDArray[np.float64]] = {}

    def put(name: str, maker: str, row: int, value: float | None) -> None:
        key = (name, maker)
        if key not in found:
            found[key] = np.full(len(pairs), np.nan)
        if value is not None:
            found[key][row] = value

    for row, (stored, result) in enumerate(pairs):
        for score in result.scores:
            if score.metric in wanted:
                put(score.metric, identity_text(score.detector), row, score.value)
        for name, read in QUANTITIES.items():
            if name in wanted:
                value = read(stored)
                if value is not None:
                    put(name, NOBODY, row, value)
    return [
        Stream(name, maker, values, int(np.isfinite(values).sum())) for (name, maker), values in sorted(found.items())
    ]


def _latency_ms(stored: StoredExchange) -> float | None:
    return (stored.end_ns - stored.start_ns) / 1e6 if stored.complete and stored.end_ns >= stored.start_ns else None


def _length(text: str | None, stored: StoredExchange) -> float | None:
    # Half a text is not a short text.
    return None if text is None or stored.incomplete is not None else float(len(text))


QUANTITIES: Final[Mapping[str, Callable[[StoredExchange], float | None]]] = {
    "prompt_chars": lambda stored: _length(stored.prompt, stored),
    "response_chars": lambda stored: _length(stored.response, stored),
    "latency_ms": _latency_ms,
    "ttft_ms": lambda stored: stored.ttft_ms,
    "cost_usd": lambda stored: stored.cost_usd,
    "input_tokens": lambda stored: stored.input_tokens,
    "output_tokens": lambda stored: stored.output_tokens,
}
"""Numbers that need no detector."""
UNSTORED: Final = frozenset({"prompt_chars", "response_chars"})
"""Numbers that only the scoring transaction sees, because they come from captured text."""
