"""What a detector is: the one contract that every member of a profile satisfies, ours and plug-ins alike.

A detector names its metrics (numbers in [0, 1]) and its traits (what kind of exchange this is: language, identities
mentioned), says which texts the shared encoder should read for it, and judges exchanges in batches. The profile around
it (``detectors.composition``) de-duplicates texts, runs the encoder once for all members, isolates failures, and
answers for whatever a member does not.

To write one: implement ``Detector``; import no torch unless you need it; run ``detectors.checks.DETECTOR_CHECKS`` on
it; and publish a function ``(Setup) -> Detector`` under the entry-point group ``custodes.detectors``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from detectors.batching.limits import ReaderLimits
from detectors.model import DetectorIdentity, Embedding, Exchange, Score, Trait

if TYPE_CHECKING:
    # Detectors that need no tensors are imported where torch is not installed.
    import numpy as np
    from torch import Tensor

    from detectors.text.encoder import Encoder, TokenisedText

ENTRY_POINT_GROUP: Final = "custodes.detectors"


@dataclass(frozen=True, slots=True)
class TextFailure:
    """Why a text has no reading: a reason code, fit to be a score's reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class TextRequest:
    """A text to be read, and the names of the heads wanted for it."""

    text: str
    heads: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TextReading:
    """What one pass of the shared encoder found out about one text.

    ``vector`` is the sentence vector: unit length, little-endian float16. ``heads`` holds what each head that was asked
    for made of the text, by the head's name, or why it made nothing of it. ``refusal`` is the reason for which nothing
    trained on English words may be claimed about this text, or None; the vector stands in either case.
    """

    vector: bytes
    refusal: str | None
    heads: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class WindowPart:
    """A head's output for one window of a text: tokens ``start`` up to but without ``end``, as float32.

    For a head that reads tokens the first axis of ``values`` is the window's own tokens, without special tokens and
    padding.
    """

    start: int
    end: int
    values: np.ndarray[Any, np.dtype[np.float32]]


class Head(Protocol):
    """A network on top of the shared encoder, run inside its pass. Immutable; holds weights on the encoder's device."""

    @property
    def name(self) -> str:
        """Unique in a profile."""
        ...

    @property
    def reads_tokens(self) -> bool:
        """Whether ``read`` returns a row per token rather than one per window."""
        ...

    def read(self, states: tuple[Tensor, ...], mask: Tensor) -> Tensor:
        """Return ``(windows, …)``, or ``(windows, tokens, …)`` if ``reads_tokens``, on the device.

        ``states`` are the outputs of the embedding layer and of each transformer layer, ``(windows, tokens, hidden)``;
        ``mask`` is boolean ``(windows, tokens)``, True on real tokens, special ones included. A row must not depend on
        the other rows or on the amount of padding. Called under ``torch.inference_mode``.
        """
        ...

    def combine(self, tokens: TokenisedText, parts: Sequence[WindowPart]) -> Any:
        """Return the finding about the whole text from its windows, in order.

        Values are known to be finite. Windows overlap. Raising makes this head's finding about this text a failure.
        """
        ...


@dataclass(frozen=True, slots=True)
class SeenExchange:
    """An exchange and what the shared encoder read of the texts the detector asked for, by text."""

    exchange: Exchange
    readings: Mapping[str, TextReading | TextFailure]

    def reading(self, text: str | None) -> TextReading | TextFailure | None:
        """Return the reading of one of the exchange's texts; None if it is absent, blank or was not asked for."""
        return None if text is None else self.readings.get(text)


@dataclass(frozen=True, slots=True)
class Findings:
    """What one detector says about one exchange: a score for each of its metrics, a trait for each of its traits."""

    scores: tuple[Score, ...] = ()
    traits: tuple[Trait, ...] = ()
    embeddings: tuple[Embedding, ...] = ()


class Detector(Protocol):
    """Judges exchanges. Loaded once, used from one thread at a time, for as long as the process lives."""

    @property
    def identities(self) -> tuple[DetectorIdentity, ...]:
        """Who scores and embeds here, the same for every exchange. The first signs what could not be assessed."""
        ...

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, lower-case with underscores, at most 32 characters; no other member has them."""
        ...

    @property
    def traits(self) -> tuple[str, ...]:
        """Names of the traits, written like metrics."""
        ...

    @property
    def head(self) -> Head | None:
        """The head to run on the texts asked for; None if the sentence vector is enough or nothing is read."""
        ...

    def texts(self, exchange: Exchange) -> Sequence[str]:
        """Return the texts of this exchange that the shared encoder should read; blank ones are dropped."""
        ...

    def judge(self, seen: Sequence[SeenExchange]) -> Sequence[Findings]:
        """Return one answer per exchange, in order. Never called with an exchange known to be incomplete.

        Say "not assessed" with a reason for what cannot be judged. Raising is allowed: the profile asks again for each
        exchange alone and only those that raise go without. So is taking forever: see ``detectors.isolation``.
        """
        ...


@dataclass(frozen=True, slots=True)
class Setup:
    """What a detector may need in order to load: where models lie, what computes, and the encoder all members share.

    ``models_dir`` holds bundles (``detectors.bundles``). ``offline`` means that no connection may be attempted.
    ``limits`` say how a model should be run over texts on ``device``. A detector that takes long over one ``judge``
    calls ``alive`` after each batch of its own; one that goes on for minutes without is taken to hang.
    """

    models_dir: Path | None
    device: str
    offline: bool
    encoder: Encoder
    limits: ReaderLimits
    alive: Callable[[], None] = field(default=lambda: None)


class DetectorLoader(Protocol):
    """What an entry point of the group ``custodes.detectors`` names."""

    def __call__(self, setup: Setup, /) -> Detector:
        """Load the detector; raise ``detectors.errors.DetectorError`` saying what to do if it cannot be."""
        ...
