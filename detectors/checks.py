"""What every detector profile must hold to, as checks that can be run against any of them.

Each check takes a loaded profile and raises AssertionError naming the exchange and metric at fault. A new profile is
ready when it passes all of ``PROFILE_CHECKS``; the project's own tests run them on every profile there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from detectors.model import DetectorIdentity, Exchange, ExchangeScores, Score

REQUIRED_METRICS: Final = ("hallucination", "toxicity", "prompt_toxicity")
# Batches are padded differently in other company, which moves the last digits; a verdict must not move.
COMPANY_TOLERANCE: Final = 0.02

PLAIN: Final = Exchange(
    "plain",
    "When will my parcel arrive?",
    "Your parcel will arrive on Tuesday. You can follow it on the tracking page.",
    ("Parcels sent on Friday arrive on Tuesday. The tracking page shows where a parcel is.",),
)
ODD_TEXTS: Final = {
    "empty": "",
    "whitespace": " \t\r\n\u00a0\u3000 ",
    "emoji": "\U0001f600\U0001f937\u200d\u2642\ufe0f\U0001f1e9\U0001f1ea",
    "chinese": "\u6211\u4eec\u5c06\u5728\u661f\u671f\u4e8c\u9001\u8d27\u3002",
    "arabic": "\u0633\u064a\u0635\u0644 \u0637\u0631\u062f\u0643 \u063a\u062f\u0627.",
    "combining": "a" + "\u0301" * 500,
    "lone_surrogates": "The parcel \ud800 arrives \udfff on Tuesday.",
    "nul_bytes": "\x00The parcel\x00 arrives on Tuesday.\x00",
    "only_nul_bytes": "\x00\x00\x00",
    "control_marks": "\u202eThe parcel\u202c arrives \x07on Tuesday.\x1b[0m",
    "one_character": "?",
    "one_long_word": "x" * 20_000,
    "full_stops": "." * 20_000,
    "brackets": "([{<" * 5_000,
    "digits": "1234567890," * 2_000,
    "markup": "<script>alert(1)</script> {{ config }} %s %n \\u0000",
}  # fmt: skip
HUGE: Final = "The parcel will arrive on Tuesday at noon. " * 20_000


class CheckedProfile(Protocol):
    """The part of a profile that the checks use."""

    def score(self, exchanges: Sequence[Exchange]) -> list[ExchangeScores]: ...

    def identities(self) -> tuple[DetectorIdentity, ...]: ...


def _exchange(name: str, text: str) -> Exchange:
    return Exchange(name, text, text, (text, "The parcel will arrive on Tuesday."))


def _by_metric(scores: ExchangeScores) -> dict[str, Score]:
    return {score.metric: score for score in scores.scores}


def _values(scores: ExchangeScores) -> list[tuple[str, float | None, str | None]]:
    return [(score.metric, score.value, score.reason) for score in scores.scores]


def check_every_exchange_is_answered_in_order(profile: CheckedProfile) -> None:
    """One answer an exchange, in order, even if ids or texts repeat or the list is empty."""
    assert profile.score([]) == [], "no exchanges must give no answers"
    exchanges = [_exchange(name, text) for name, text in ODD_TEXTS.items()] + [PLAIN, PLAIN]
    answered = [answer.id for answer in profile.score(exchanges)]
    assert answered == [exchange.id for exchange in exchanges], f"answers came as {answered}"


def check_every_metric_has_a_state(profile: CheckedProfile) -> None:
    """Each metric appears exactly once for each exchange, and its detector is one that the profile names."""
    known = set(profile.identities())
    for answer in profile.score([PLAIN, *(_exchange(name, text) for name, text in ODD_TEXTS.items())]):
        metrics = [score.metric for score in answer.scores]
        assert len(metrics) == len(set(metrics)), f"{answer.id}: a metric appears twice in {metrics}"
        assert set(REQUIRED_METRICS) <= set(metrics), f"{answer.id}: has only {metrics}"
        for maker in (*(s.detector for s in answer.scores), *(e.encoder for e in answer.embeddings)):
            assert maker in known, f"{answer.id}: {maker.name} is not among the profile's identities"


def check_plain_text_is_assessed(profile: CheckedProfile) -> None:
    """An ordinary exchange with a context gets a value for every required metric and two embeddings."""
    answer = profile.score([PLAIN])[0]
    for metric in REQUIRED_METRICS:
        score = _by_metric(answer)[metric]
        assert score.state == "assessed", f"{metric} of plain text is not assessed: {score.reason}"
    assert [embedding.field for embedding in answer.embeddings] == ["prompt", "response"]


def check_scores_repeat(profile: CheckedProfile) -> None:
    """The same exchanges give the same answers again, spans and embeddings included."""
    exchanges = [PLAIN, *(_exchange(name, text) for name, text in ODD_TEXTS.items())]
    first, second = profile.score(exchanges), profile.score(exchanges)
    assert first == second, "two runs over the same exchanges differ"


def check_company_does_not_matter(profile: CheckedProfile) -> None:
    """A value stays within ``COMPANY_TOLERANCE`` whatever else is in the batch, and so does the state."""
    probe = Exchange(
        "probe", "Where is the key?", "The key is under the mat, near the door.", ("The key is under the mat.",)
    )
    crowd = [Exchange(f"c{n}", f"Question {n} " * n, f"Answer number {n}. " * n) for n in range(1, 40)]
    alone = profile.score([probe])[0]
    # Another profile call with fresh wording keeps a cache from answering in the model's place.
    within = profile.score([*crowd, probe])[len(crowd)]
    for left, right in zip(alone.scores, within.scores, strict=True):
        assert left.state == right.state, f"{left.metric} is {left.state} alone and {right.state} in company"
        if left.value is not None and right.value is not None:
            assert abs(left.value - right.value) <= COMPANY_TOLERANCE, f"{left.metric} moved in company"


def check_missing_text_is_not_assessed(profile: CheckedProfile) -> None:
    """Absent, empty and blank texts never get a value, and the reason says which text was missing."""
    for absent in (None, "", ODD_TEXTS["whitespace"]):
        scores = _by_metric(profile.score([Exchange("absent", absent, absent)])[0])
        assert scores["toxicity"].reason == "no_response_text", scores["toxicity"]
        assert scores["prompt_toxicity"].reason == "no_prompt_text", scores["prompt_toxicity"]
        assert scores["hallucination"].reason == "no_response_text", scores["hallucination"]
    for contexts in ((), ("",), (" ", "\n")):
        score = _by_metric(profile.score([Exchange("bare", PLAIN.prompt, PLAIN.response, contexts)])[0])[
            "hallucination"
        ]
        assert score.reason == "no_context", score


def check_incomplete_exchanges_are_not_assessed(profile: CheckedProfile) -> None:
    """An exchange known to be partial gets no value and no embedding, with its reason on every metric."""
    partial = Exchange("partial", PLAIN.prompt, PLAIN.response, PLAIN.contexts, incomplete="attributes_dropped")
    answer = profile.score([partial])[0]
    assert {score.reason for score in answer.scores} == {"attributes_dropped"}, _values(answer)
    assert answer.embeddings == (), "partial text must not be embedded"


def check_odd_texts_do_no_harm(profile: CheckedProfile) -> None:
    """Strange and hostile texts are answered, and a plain exchange beside them scores as it does alone."""
    alone = _values(profile.score([PLAIN])[0])
    crowd = [_exchange(name, text) for name, text in ODD_TEXTS.items()]
    beside = profile.score([*crowd, PLAIN])[-1]
    assert [(m, r) for m, _, r in alone] == [(m, r) for m, _, r in _values(beside)]


def check_huge_text_is_never_cut_in_silence(profile: CheckedProfile) -> None:
    """A text of 860,000 characters is either assessed in full or not assessed with a reason; it does not raise."""
    for score in profile.score([Exchange("huge", HUGE, HUGE, (HUGE,))])[0].scores:
        assert score.state == "assessed" or score.reason, score


def check_spans_lie_in_the_response(profile: CheckedProfile) -> None:
    """Spans point into the response's characters, in order."""
    response = "Gr\u00fc\u00dfe \U0001f600! The parcel weighs 93 kilograms. It belongs to Leonardo Brandeis."
    answer = profile.score([Exchange("spans", "What is in it?", response, ("The parcel is small.",))])[0]
    for score in answer.scores:
        starts = [span.start for span in score.spans]
        assert starts == sorted(starts), f"{score.metric}: spans are out of order"
        assert all(span.end <= len(response) for span in score.spans), f"{score.metric}: a span ends behind the text"


PROFILE_CHECKS: Final[tuple[Callable[[CheckedProfile], None], ...]] = (
    check_every_exchange_is_answered_in_order,
    check_every_metric_has_a_state,
    check_plain_text_is_assessed,
    check_scores_repeat,
    check_company_does_not_matter,
    check_missing_text_is_not_assessed,
    check_incomplete_exchanges_are_not_assessed,
    check_odd_texts_do_no_harm,
    check_huge_text_is_never_cut_in_silence,
    check_spans_lie_in_the_response,
)
