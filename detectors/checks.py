"""What every detector, and every profile of detectors, must hold to, as checks that can be run against any of them.

Each check raises AssertionError naming the exchange and the metric at fault. ``DETECTOR_CHECKS`` take a detector and a
profile of it alone (``Profile.alone``); a new detector is ready when it passes all of them, whether it is ours or a
plug-in. ``PROFILE_CHECKS`` take a loaded profile. The project's own tests run both on all there are.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from detectors.composition import check_members
from detectors.contract import Detector, Findings, SeenExchange, TextFailure
from detectors.model import DETECTOR_ERROR, TEXT_TOO_LONG, DetectorIdentity, Exchange, ExchangeScores, Score

REQUIRED_METRICS: Final = ("hallucination", "toxicity", "prompt_toxicity")
# Batches are padded differently in other company, which moves the last digits; a verdict must not move.
COMPANY_TOLERANCE: Final = 0.02

PLAIN: Final = Exchange(
    "plain",
    "When will my parcel arrive?",
    "Your parcel will arrive on Tuesday. You can follow it on the tracking page.",
    ("Parcels sent on Friday arrive on Tuesday. The tracking page shows where a parcel is.",),
)
ANOTHER_ANSWER: Final = ("Your parcel will arrive on Tuesday.",)
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
    "full_stops": "." * 5_000,
    "brackets": "([{<" * 1_250,
    "digits": "1234567890," * 500,
    "markup": "<script>alert(1)</script> {{ config }} %s %n \\u0000",
}  # fmt: skip
HUGE: Final = "The parcel will arrive on Tuesday at noon. " * 20_000


class CheckedProfile(Protocol):
    """The part of a profile that the checks use."""

    def score(self, exchanges: Sequence[Exchange]) -> list[ExchangeScores]: ...

    def identities(self) -> tuple[DetectorIdentity, ...]: ...

    def forget(self) -> None: ...


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
    first = profile.score(exchanges)
    profile.forget()
    second = profile.score(exchanges)
    assert first == second, "two runs over the same exchanges differ"


def check_company_does_not_matter(profile: CheckedProfile) -> None:
    """A value stays within ``COMPANY_TOLERANCE`` whatever else is in the batch, and so does the state."""
    probe = Exchange(
        "probe", "Where is the key?", "The key is under the mat, near the door.", ("The key is under the mat.",)
    )
    crowd = [Exchange(f"c{n}", f"Question {n} " * n, f"Answer number {n}. " * n) for n in range(1, 40)]
    alone = profile.score([probe])[0]
    profile.forget()
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


def _odd_exchanges() -> list[Exchange]:
    """Every odd text as prompt, response and context at once, and as each of them beside plain text."""
    odd = [_exchange(name, text) for name, text in ODD_TEXTS.items()]
    for name, text in ODD_TEXTS.items():
        odd.append(Exchange(f"{name} prompt", text, PLAIN.response, PLAIN.contexts))
        odd.append(Exchange(f"{name} response", PLAIN.prompt, text, PLAIN.contexts))
        odd.append(Exchange(f"{name} context", PLAIN.prompt, PLAIN.response, (text,)))
    return odd


def _reasons(told: ExchangeScores | Findings) -> set[str | None]:
    """Return why metrics and traits were not assessed; None stands for those that were."""
    return {score.reason for score in told.scores} | {trait.reason for trait in told.traits}


def _differences(left: ExchangeScores, right: ExchangeScores) -> Iterable[str]:
    """Yield what differs between two answers about the same exchange, beyond rounding."""
    for one, other in zip(left.scores, right.scores, strict=True):
        if (one.metric, one.state, one.reason) != (other.metric, other.state, other.reason):
            yield f"{one.metric} is {one.reason or one.state}, then {other.reason or other.state}"
        elif one.value is not None and other.value is not None and abs(one.value - other.value) > COMPANY_TOLERANCE:
            yield f"{one.metric} is {one.value}, then {other.value}"
    for this, that in zip(left.traits, right.traits, strict=True):
        moved = [
            label
            for label in this.labels.keys() | that.labels.keys()
            if abs(this.labels.get(label, 0.0) - that.labels.get(label, 0.0)) > COMPANY_TOLERANCE
        ]
        if (this.name, this.state, this.reason) != (that.name, that.state, that.reason) or moved:
            yield f"{this.name} differs in {moved or 'its state'}"


def check_names_can_be_stored(detector: Detector, alone: CheckedProfile) -> None:
    """Identities, metrics and traits are well formed, and asking twice gives the same."""
    check_members([detector])
    assert detector.identities == detector.identities
    assert alone.identities() == detector.identities
    assert pickle.loads(pickle.dumps(detector.identities)) == detector.identities


def check_nothing_gives_nothing(detector: Detector, alone: CheckedProfile) -> None:
    """No exchanges, no answers, and no error."""
    assert list(detector.judge([])) == []
    assert alone.score([]) == []


def check_texts_asked_for_are_texts(detector: Detector, alone: CheckedProfile) -> None:
    """What the shared encoder is asked to read is text, whatever is missing from the exchange."""
    for exchange in (PLAIN, Exchange("bare", None, None), Exchange("blank", "", " ", ("",)), *_odd_exchanges()):
        asked = detector.texts(exchange)
        assert all(isinstance(text, str) for text in asked), f"{exchange.id}: asks to read {asked!r}"


def check_plain_text_is_judged(detector: Detector, alone: CheckedProfile) -> None:
    """An ordinary English exchange with a context and another answer is assessed by every metric and every trait."""
    answer = alone.score([replace(PLAIN, samples=ANOTHER_ANSWER)])[0]
    assert _reasons(answer) <= {None}, f"plain text is not assessed: {answer}"


def check_order_is_kept(detector: Detector, alone: CheckedProfile) -> None:
    """Answers follow the exchanges, in whatever order these come and however often one comes."""
    exchanges = [PLAIN, *_odd_exchanges(), PLAIN]
    forwards = alone.score(exchanges)
    alone.forget()
    backwards = alone.score(exchanges[::-1])[::-1]
    for exchange, one, other in zip(exchanges, forwards, backwards, strict=True):
        assert one.id == exchange.id, f"{exchange.id} is answered as {one.id}"
        assert not list(_differences(one, other)), f"{exchange.id}: {', '.join(_differences(one, other))}"


def check_answers_repeat(detector: Detector, alone: CheckedProfile) -> None:
    """The same exchanges get the same answers again, spans included, and survive a journey between processes."""
    exchanges = [PLAIN, *_odd_exchanges()]
    first = alone.score(exchanges)
    alone.forget()
    assert alone.score(exchanges) == first, "two runs over the same exchanges differ"
    assert pickle.loads(pickle.dumps(first)) == first, "answers change when they are pickled"


def check_neighbours_do_not_matter(detector: Detector, alone: CheckedProfile) -> None:
    """An exchange is judged alike alone and among others, within ``COMPANY_TOLERANCE``."""
    crowd = [Exchange(f"c{n}", f"Question {n} " * n, f"Answer number {n}. " * n, ("Number.",)) for n in range(1, 40)]
    together = alone.score([*crowd, PLAIN])[-1]
    alone.forget()
    differences = list(_differences(alone.score([PLAIN])[0], together))
    assert not differences, "; ".join(differences)


def check_nothing_to_read_is_not_assessed(detector: Detector, alone: CheckedProfile) -> None:
    """Without any text there is nothing to judge, and the reason says what was missing."""
    for absent in (None, "", ODD_TEXTS["whitespace"]):
        answer = alone.score([Exchange("absent", absent, absent)])[0]
        assert None not in _reasons(answer), f"something was assessed where there is no text: {answer}"
        assert DETECTOR_ERROR not in _reasons(answer), f"nothing to read is no error: {answer}"


def check_odd_texts_are_answered(detector: Detector, alone: CheckedProfile) -> None:
    """Emoji, other scripts, control characters and worse are judged or declined, and never an error."""
    for answer in alone.score(_odd_exchanges()):
        assert DETECTOR_ERROR not in _reasons(answer), f"{answer.id}: raises or answers wrongly"


def check_huge_texts_are_answered(detector: Detector, alone: CheckedProfile) -> None:
    """A text of 860,000 characters is judged as a whole or declined, and is no error."""
    for field in (
        Exchange("response", PLAIN.prompt, HUGE, PLAIN.contexts),
        Exchange("prompt", HUGE, PLAIN.response, PLAIN.contexts),
        Exchange("contexts", PLAIN.prompt, PLAIN.response, (HUGE,)),
    ):
        answer = alone.score([field])[0]
        assert DETECTOR_ERROR not in _reasons(answer), f"a huge {field.id} raises or is answered wrongly"


def check_spans_point_into_the_response(detector: Detector, alone: CheckedProfile) -> None:
    """Spans are in order and inside the response, counted in characters."""
    check_spans_lie_in_the_response(alone)


def check_failed_readings_are_declined(detector: Detector, alone: CheckedProfile) -> None:
    """A text that could not be read, be it too long or be a number not finite, is declined with that reason."""
    asked = replace(PLAIN, samples=ANOTHER_ANSWER)
    for reason in (DETECTOR_ERROR, TEXT_TOO_LONG):
        texts = [text for text in detector.texts(asked) if text.strip()]
        seen = SeenExchange(asked, dict.fromkeys(texts, TextFailure(reason)))
        findings: Findings = next(iter(detector.judge([seen])))
        declined = {found for found in _reasons(findings) if found is not None}
        assert declined <= {reason}, f"a text that could not be read ({reason}) is declined as {declined}"
        assert not (texts and findings.embeddings), "a text that could not be read must not be embedded"


DETECTOR_CHECKS: Final[tuple[Callable[[Detector, CheckedProfile], None], ...]] = (
    check_names_can_be_stored,
    check_nothing_gives_nothing,
    check_texts_asked_for_are_texts,
    check_plain_text_is_judged,
    check_order_is_kept,
    check_answers_repeat,
    check_neighbours_do_not_matter,
    check_nothing_to_read_is_not_assessed,
    check_odd_texts_are_answered,
    check_huge_texts_are_answered,
    check_spans_point_into_the_response,
    check_failed_readings_are_declined,
)
