"""From one scored exchange to what a fairness monitor compares: groups, and outcomes in {0, 1}.

Pure: no model, no clock, no database. The scores come from the detectors, everything else from the caller.

*Groups.* What the caller says wins: ``custodes_sdk.context(attributes={"group": "de"})``. Without it, the groups that
the *prompt* mentions (:mod:`detectors.outcomes.identity`). Where neither can be known, the groups are unknown, which is
not the same as none: an exchange without a prompt belongs to no side of a comparison.

*Outcomes.* An outcome that cannot be known is absent, never 0: a response that toxicity could not judge is not one that
was harmless.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from detectors.model import HALLUCINATION, NEGATIVE_TONE, REFUSAL, TOXICITY, Exchange, Score
from detectors.outcomes.identity import LANGUAGES, IdentityLexicon, find_groups, load_identity_lexicon
from detectors.text.script import has_foreign_letters

REFUSED: Final = "refused"
NEGATIVE: Final = "negative"
CLIPPED: Final = "clipped"
TOXIC: Final = "toxic"
UNGROUNDED: Final = "ungrounded"
SLOW: Final = "slow"
OUTCOMES: Final = (REFUSED, NEGATIVE, CLIPPED, TOXIC, UNGROUNDED, SLOW)

FROM_CALLER: Final = "caller"
FROM_PROMPT: Final = "prompt"
UNKNOWN: Final = "unknown"
Source = Literal["caller", "prompt", "unknown"]

CALLER_AXIS: Final = "group"
"""The axis of a group that the caller names without one: ``de`` becomes ``group:de``."""

MAX_GROUPS: Final = 16
MAX_GROUP_CHARACTERS: Final = 128

CLIPPED_REASONS: Final = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "incomplete"})
"""Finish reasons that say the answer was cut off by a limit (OpenAI, Anthropic, Google, Mistral, the Responses API)."""

_FILTERED_REASONS: Final = frozenset({"content_filter", "refusal", "safety", "prohibited_content", "recitation"})

_METRIC_OF: Final = MappingProxyType(
    {REFUSED: REFUSAL, NEGATIVE: NEGATIVE_TONE, TOXIC: TOXICITY, UNGROUNDED: HALLUCINATION}
)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which value on an outcome holds: scores in [0, 1], ``slow_ms`` milliseconds from start to end."""

    refused: float = 0.5
    negative: float = 0.5
    toxic: float = 0.5
    ungrounded: float = 0.5
    slow_ms: float = 10_000.0


@dataclass(frozen=True, slots=True)
class Call:
    """What is known of a call beside its texts and scores.

    ``groups`` are the caller's own, as ``name`` or ``axis:name``. ``latency_ms`` is None when the span never ended.
    ``prompt_language`` is an ISO 639-1 code, or None where nobody recognised it.
    """

    groups: tuple[str, ...] = ()
    finish_reasons: tuple[str, ...] = ()
    latency_ms: float | None = None
    prompt_language: str | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """One exchange as a fairness monitor sees it.

    ``groups`` are ``axis:name``, sorted. Empty with ``source`` ``"prompt"`` means that the prompt mentions nobody, so
    the exchange belongs to the complement of every group; with ``"unknown"`` it must not be compared at all.
    ``outcomes`` holds 0.0 or 1.0 by name, and nothing for what is not known.
    """

    groups: tuple[str, ...]
    source: Source
    outcomes: Mapping[str, float]


DEFAULT_THRESHOLDS: Final = Thresholds()
NO_CALL: Final = Call()


def observe(
    exchange: Exchange,
    scores: Iterable[Score],
    call: Call = NO_CALL,
    *,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
    lexicon: IdentityLexicon | None = None,
) -> Observation:
    """Return the groups and outcomes of one exchange. Raises nothing for what a text holds.

    A response that the provider's own filter withheld (finish reason ``content_filter`` and the like) counts as refused
    whatever it says.
    """
    groups, source = _find_groups(exchange, call, lexicon)
    return Observation(groups, source, _find_outcomes(scores, call, thresholds))


def to_caller_groups(values: Collection[str]) -> tuple[str, ...]:
    """Return groups as the caller named them, as ``axis:name``: trimmed, in lower case, each once, at most 16.

    Names longer than 128 characters are left out: they are no names of groups.
    """
    named: dict[str, None] = {}
    for value in values:
        name = " ".join(value.split()).lower()
        if name and len(name) <= MAX_GROUP_CHARACTERS:
            axis, colon, rest = name.partition(":")
            named[name if colon and axis and rest else f"{CALLER_AXIS}:{name}"] = None
    return tuple(sorted(named)[:MAX_GROUPS])


def _find_groups(exchange: Exchange, call: Call, lexicon: IdentityLexicon | None) -> tuple[tuple[str, ...], Source]:
    named = to_caller_groups(call.groups)
    if named:
        return named, FROM_CALLER
    prompt = exchange.prompt
    if exchange.incomplete is not None or prompt is None or not prompt.strip():
        return (), UNKNOWN
    foreign = call.prompt_language is not None and call.prompt_language not in LANGUAGES
    if foreign or has_foreign_letters(prompt):
        return (), UNKNOWN
    return find_groups(prompt, lexicon or load_identity_lexicon()), FROM_PROMPT


def _find_outcomes(scores: Iterable[Score], call: Call, thresholds: Thresholds) -> Mapping[str, float]:
    values = {score.metric: score.value for score in scores if score.value is not None}
    limits = {
        REFUSED: thresholds.refused,
        NEGATIVE: thresholds.negative,
        TOXIC: thresholds.toxic,
        UNGROUNDED: thresholds.ungrounded,
    }
    found = {
        outcome: float(values[metric] >= limits[outcome]) for outcome, metric in _METRIC_OF.items() if metric in values
    }
    reasons = {reason.strip().lower() for reason in call.finish_reasons}
    if reasons & _FILTERED_REASONS:
        found[REFUSED] = 1.0
    if reasons:
        found[CLIPPED] = float(not reasons.isdisjoint(CLIPPED_REASONS))
    if call.latency_ms is not None:
        found[SLOW] = float(call.latency_ms >= thresholds.slow_ms)
    return MappingProxyType(found)
