"""Values that go into and come out of the detectors.

All are immutable and check themselves, so that a score that exists is a score that may be stored: an assessed value
is a finite number in [0, 1], and everything else says why it is missing. This module needs no torch and no numpy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from types import MappingProxyType
from typing import Final, Literal

State = Literal["assessed", "not_assessed"]
EmbeddedField = Literal["prompt", "response"]

HALLUCINATION: Final = "hallucination"
TOXICITY: Final = "toxicity"
PROMPT_TOXICITY: Final = "prompt_toxicity"
IDENTITY_ATTACK: Final = "identity_attack"
REFUSAL: Final = "refusal"
NEGATIVE_TONE: Final = "negative_tone"
PII: Final = "pii"
PROMPT_PII: Final = "prompt_pii"
SECRETS: Final = "secrets"
PROMPT_SECRETS: Final = "prompt_secrets"
PROMPT_INJECTION: Final = "prompt_injection"
CONTEXT_INJECTION: Final = "context_injection"
RULE_METRICS: Final = (
    REFUSAL,
    NEGATIVE_TONE,
    PII,
    PROMPT_PII,
    SECRETS,
    PROMPT_SECRETS,
    PROMPT_INJECTION,
    CONTEXT_INJECTION,
)
"""Metrics of the rule detectors; an exchange that only these could judge does not count as assessed."""
INCONSISTENCY: Final = "inconsistency"

NO_CONTEXT: Final = "no_context"
NO_PROMPT_TEXT: Final = "no_prompt_text"
NO_RESPONSE_TEXT: Final = "no_response_text"
UNSUPPORTED_TEXT: Final = "unsupported_text"
NO_CHECKABLE_CLAIM: Final = "no_checkable_claim"
NO_OTHER_ANSWER: Final = "no_other_answer"
TEXT_TOO_LONG: Final = "text_too_long"
DETECTOR_ERROR: Final = "detector_error"
DETECTOR_TIMEOUT: Final = "detector_timeout"

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_NO_LABELS: Final[Mapping[str, float]] = MappingProxyType({})


def _is_unit(value: float) -> bool:
    return math.isfinite(value) and 0.0 <= value <= 1.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """One prompt and its response, with the texts the response was meant to rest on.

    ``contexts`` are the retrieved documents, in the order they were given to the model. ``incomplete`` is a reason,
    such as ``"attributes_dropped"``, for which the texts are known to be partial: every metric of the exchange is then
    not assessed with that reason, because a score of half a text would pass for a score of the whole. ``samples`` are
    other answers to the same prompt; if one call gave several, they are all of them, and ``response`` is these joined
    by line breaks.
    """

    id: str
    prompt: str | None
    response: str | None
    contexts: tuple[str, ...] = ()
    incomplete: str | None = None
    samples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DetectorIdentity:
    """Which detector made a score: name, version, and a digest over the weights and constants that decide it.

    Equal identities give equal scores for equal texts, up to rounding of the last printed digit.
    """

    name: str
    version: str
    digest: str

    def __post_init__(self) -> None:
        if not self.name or not self.version:
            raise ValueError(f"a detector needs a name and a version, got {self.name!r} {self.version!r}")
        if _DIGEST.fullmatch(self.digest) is None:
            raise ValueError(f"digest must be 'sha256:' and 64 hex digits, got {self.digest!r}")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the text its metric reads: characters ``start`` up to but without ``end``, with a value in [0, 1].

    That text is the prompt for metrics that begin with ``prompt_``, and the response for all others.
    """

    start: int
    end: int
    value: float

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"a span needs 0 <= start < end, got {self.start} and {self.end}")
        if not _is_unit(self.value):
            raise ValueError(f"a span's value must be in [0, 1], got {self.value!r}")


@dataclass(frozen=True, slots=True)
class Score:
    """One metric of one exchange. ``value`` is in [0, 1], higher is worse.

    Holds by construction: assessed means a finite value and no reason; not assessed means no value and a reason. NaN
    and infinities cannot enter. ``labels`` break the metric down; ``spans`` show where in the text it comes from.
    """

    metric: str
    value: float | None
    state: State
    reason: str | None
    labels: Mapping[str, float]
    spans: tuple[Span, ...]
    detector: DetectorIdentity

    def __post_init__(self) -> None:
        if self.state == "assessed":
            if self.value is None or not _is_unit(self.value):
                raise ValueError(f"an assessed {self.metric} needs a value in [0, 1], got {self.value!r}")
            if self.reason is not None:
                raise ValueError(f"an assessed {self.metric} has no reason, got {self.reason!r}")
        elif self.state == "not_assessed":
            if self.value is not None:
                raise ValueError(f"a {self.metric} that is not assessed has no value, got {self.value!r}")
            if not self.reason:
                raise ValueError(f"a {self.metric} that is not assessed must say why")
        else:
            raise ValueError(f"state must be 'assessed' or 'not_assessed', got {self.state!r}")
        for label, value in self.labels.items():
            if not _is_unit(value):
                raise ValueError(f"label {label!r} of {self.metric} must be in [0, 1], got {value!r}")
        # A copy of our own; a plain dict, since a read-only view cannot be sent to another process.
        object.__setattr__(self, "labels", dict(self.labels))


@dataclass(frozen=True, slots=True)
class Embedding:
    """A unit vector of one text: ``dim`` little-endian float16 numbers in ``vector`` (2 bytes each)."""

    field: EmbeddedField
    encoder: DetectorIdentity
    vector: bytes = dataclass_field(repr=False)
    dim: int

    def __post_init__(self) -> None:
        if len(self.vector) != 2 * self.dim:
            raise ValueError(f"a vector of {self.dim} float16 numbers has {2 * self.dim} bytes, got {len(self.vector)}")


@dataclass(frozen=True, slots=True)
class Trait:
    """What kind of exchange this is, where no number is better or worse: its language, the identities it mentions.

    ``labels`` maps each label that holds to its weight in [0, 1]; none may hold. Not assessed means no labels and a
    reason, as with scores.
    """

    name: str
    state: State
    reason: str | None
    labels: Mapping[str, float]
    detector: DetectorIdentity

    def __post_init__(self) -> None:
        if self.state not in ("assessed", "not_assessed"):
            raise ValueError(f"state must be 'assessed' or 'not_assessed', got {self.state!r}")
        if (self.state == "assessed") == bool(self.reason):
            raise ValueError(f"a trait has a reason exactly if it is not assessed, {self.name} has {self.reason!r}")
        if self.state == "not_assessed" and self.labels:
            raise ValueError(f"the trait {self.name} is not assessed and has labels")
        for label, value in self.labels.items():
            if not label or not _is_unit(value):
                raise ValueError(f"label {label!r} of {self.name} must be in [0, 1], got {value!r}")
        object.__setattr__(self, "labels", dict(self.labels))


@dataclass(frozen=True, slots=True)
class ExchangeScores:
    """Everything the detectors found out about one exchange, in the profile's order of metrics and of traits."""

    id: str
    scores: tuple[Score, ...]
    embeddings: tuple[Embedding, ...]
    traits: tuple[Trait, ...] = ()


def assessed(
    metric: str,
    value: float,
    detector: DetectorIdentity,
    *,
    labels: Mapping[str, float] = _NO_LABELS,
    spans: tuple[Span, ...] = (),
) -> Score:
    """Return a score with a value; raises ValueError if it is not a finite number in [0, 1]."""
    return Score(metric, value, "assessed", None, labels, spans, detector)


def not_assessed(metric: str, reason: str, detector: DetectorIdentity) -> Score:
    """Return the statement that ``metric`` could not be assessed, and why."""
    return Score(metric, None, "not_assessed", reason, _NO_LABELS, (), detector)
