from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from detectors.contract import SeenExchange, TextFailure
from detectors.full.claims import ClaimQuestion, ClaimReading
from detectors.full.escalation import Escalation
from detectors.full.inconsistency import InconsistencyDetector
from detectors.model import Exchange, Score

RESPONSE = "The bridge opened in 1932."
OTHERS = ("The bridge opened in 1932.", "The bridge opened in 1931.", "The bridge opened in 1932 or so.")


class Checker:
    """Answers with the means it was made with, one a question, and keeps the questions."""

    digest = "sha256:" + "c" * 64

    def __init__(self, *means: float | None) -> None:
        self.means = list(means)
        self.asked: list[ClaimQuestion] = []

    def check(self, questions: Sequence[ClaimQuestion]) -> list[ClaimReading | TextFailure]:
        self.asked += questions
        given = [self.means.pop(0) for _ in questions]
        return [TextFailure("detector_error") if mean is None else ClaimReading(mean, mean, 0.0) for mean in given]


def judge(exchange: Exchange, checker: Checker | None = None, rule: Escalation | None = None) -> Score:
    detector: Any = InconsistencyDetector(checker, rule or Escalation())  # type: ignore[arg-type]
    return detector.judge([SeenExchange(exchange, {})])[0].scores[0]  # type: ignore[no-any-return]


class TestJudging:
    def test_it_marks_what_other_answers_do_not_say(self) -> None:
        score = judge(Exchange("a", "When?", "The bridge opened in 1901.", (), None, OTHERS))
        assert score.value == 1.0
        assert [RESPONSE[span.start : span.start + 4] for span in score.spans] == ["1932"]
        assert score.labels["average"] == pytest.approx(0.2)

    @pytest.mark.parametrize(
        ("response", "samples", "reason"),
        [
            (None, OTHERS, "no_response_text"),
            (" ", OTHERS, "no_response_text"),
            (RESPONSE, (), "no_other_answer"),
            (RESPONSE, ("", " "), "no_other_answer"),
            (RESPONSE, (RESPONSE,), "no_other_answer"),
            ("?!", OTHERS, "no_checkable_claim"),
            (RESPONSE, ("word " * 250_000,), "text_too_long"),
        ],
    )
    def test_it_says_why_it_cannot_judge(self, response: str | None, samples: tuple[str, ...], reason: str) -> None:
        score = judge(Exchange("a", "When?", response, (), None, samples))
        assert (score.state, score.reason) == ("not_assessed", reason)


class TestChecking:
    def test_each_of_a_few_other_answers_is_asked_and_the_mean_stands_beside_the_value(self) -> None:
        checker = Checker(0.2, 0.9, 0.4)
        score = judge(Exchange("a", "When?", RESPONSE, (), None, OTHERS), checker, Escalation(0.0, 0.0))
        assert [(question.texts, question.response) for question in checker.asked] == [
            ((other,), RESPONSE) for other in OTHERS
        ]
        assert score.labels["claim_unsupported"] == pytest.approx(0.5)

    def test_at_most_four_answers_are_asked(self) -> None:
        checker = Checker(*[0.5] * 4)
        judge(Exchange("a", "When?", RESPONSE, (), None, OTHERS * 4), checker, Escalation(0.0, 0.0))
        assert len(checker.asked) == 4

    def test_checks_that_fail_are_left_out(self) -> None:
        score = judge(
            Exchange("a", "When?", RESPONSE, (), None, OTHERS), Checker(None, 0.8, None), Escalation(0.0, 0.0)
        )
        assert score.labels["claim_unsupported"] == 0.8
        score = judge(Exchange("a", "When?", RESPONSE, (), None, OTHERS), Checker(*[None] * 3), Escalation(0.0, 0.0))
        assert set(score.labels) == {"average"}

    def test_what_is_not_chosen_is_not_asked(self) -> None:
        checker = Checker()
        judge(Exchange("a", "When?", RESPONSE, (), None, (RESPONSE, RESPONSE)), checker, Escalation(0.5, 0.0))
        assert checker.asked == []

    def test_of_several_choices_the_first_is_checked_against_the_others(self) -> None:
        checker = Checker(0.1, 0.3)
        choices = OTHERS[:3]
        judge(Exchange("a", "When?", "\n".join(choices), (), None, choices), checker, Escalation(0.0, 0.0))
        assert [(one.texts, one.response) for one in checker.asked] == [((o,), choices[0]) for o in choices[1:]]


class TestIdentity:
    def test_a_checker_is_part_of_it(self) -> None:
        plain = InconsistencyDetector(None, Escalation()).identities
        checked = InconsistencyDetector(Checker(), Escalation()).identities  # type: ignore[arg-type]
        assert plain != checked
        assert plain == InconsistencyDetector(None, Escalation(0.1, 0.1)).identities
