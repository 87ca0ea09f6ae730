from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from detectors.contract import SeenExchange, TextFailure
from detectors.full.claims import ClaimQuestion, ClaimReading
from detectors.full.description import ClaimDescription, GroundingDescription
from detectors.full.escalation import Escalation
from detectors.full.grounding import GroundingReading
from detectors.full.hallucination import HallucinationDetector, identify_hallucination
from detectors.model import DetectorIdentity, Exchange, Score, Span

MAKER = DetectorIdentity("hallucination/full", "1.0.0", "sha256:" + "a" * 64)


class Readings:
    """Answers with the readings it was made with, by exchange id."""

    def __init__(self, **values: float | str) -> None:
        self.values = values

    def read(self, exchanges: Sequence[Exchange]) -> list[GroundingReading | TextFailure]:
        found: list[GroundingReading | TextFailure] = []
        for exchange in exchanges:
            value = self.values[exchange.id]
            known = isinstance(value, float)
            found.append(GroundingReading(value, (Span(0, 2, value),)) if known else TextFailure(str(value)))  # type: ignore[arg-type]
        return found


class Checker:
    """Finds every claim unsupported by 0.9, or fails; keeps what it was asked."""

    def __init__(self, failure: str | None = None) -> None:
        self.failure = failure
        self.asked: list[list[ClaimQuestion]] = []

    def check(self, questions: Sequence[ClaimQuestion]) -> list[ClaimReading | TextFailure]:
        self.asked.append(list(questions))
        reading = ClaimReading(0.9, 0.6, 0.5) if self.failure is None else TextFailure(self.failure)
        return [reading] * len(questions)


def judge(readings: Readings, checker: Checker | None, rule: Escalation) -> dict[str, Score]:
    detector: Any = HallucinationDetector(readings, checker, rule, MAKER)  # type: ignore[arg-type]
    exchanges = [Exchange(name, "Why?", f"Because of {name}.", ("It is so.",)) for name in readings.values]
    findings = detector.judge([SeenExchange(exchange, {}) for exchange in exchanges])
    return {exchange.id: finding.scores[0] for exchange, finding in zip(exchanges, findings, strict=True)}


class TestJudging:
    def test_the_value_is_the_token_classifier_s_and_disagreement_stands_beside_it(self) -> None:
        score = judge(Readings(a=0.7), Checker(), Escalation(0.5, 0.0))["a"]
        assert (score.value, score.spans) == (0.7, (Span(0, 2, 0.7),))
        assert dict(score.labels) == {
            "claim_unsupported": 0.9,
            "claims_unsupported_share": 0.5,
            "disagreement": pytest.approx(0.2),
        }

    def test_only_what_is_flagged_or_drawn_is_checked_and_all_of_it_together(self) -> None:
        checker = Checker()
        scores = judge(Readings(a=0.1, b=0.7, c=0.2, d=0.9), checker, Escalation(0.5, 0.0))
        assert [[question.response for question in asked] for asked in checker.asked] == [
            ["Because of b.", "Because of d."]
        ]
        assert [bool(score.labels) for score in scores.values()] == [False, True, False, True]
        drawn = judge(Readings(a=0.1, b=0.2), Checker(), Escalation(0.5, 1.0))
        assert all(score.labels for score in drawn.values())

    def test_what_cannot_be_judged_is_not_checked_either(self) -> None:
        checker = Checker()
        score = judge(Readings(a="no_context"), checker, Escalation(0.0, 1.0))["a"]
        assert (score.state, score.reason, checker.asked) == ("not_assessed", "no_context", [[]])

    def test_a_check_that_fails_takes_nothing_from_the_value(self) -> None:
        score = judge(Readings(a=0.7), Checker("text_too_long"), Escalation(0.5, 0.0))["a"]
        assert (score.value, dict(score.labels)) == (0.7, {})

    def test_without_a_checker_nothing_is_checked(self) -> None:
        assert dict(judge(Readings(a=0.9), None, Escalation(0.0, 1.0))["a"].labels) == {}


class TestIdentity:
    def test_it_tells_models_ways_of_reading_and_rules_apart(self) -> None:
        grounding = ("sha256:1", GroundingDescription("passages"))
        other = ("sha256:1", GroundingDescription("triple"))
        claims = ("sha256:2", ClaimDescription("separator"))
        rule = Escalation(0.5, 0.02)
        found = [
            identify_hallucination(grounding, claims, rule, "float32"),
            identify_hallucination(other, claims, rule, "float32"),
            identify_hallucination(grounding, None, rule, "float32"),
            identify_hallucination(grounding, claims, Escalation(0.5, 0.03), "float32"),
            identify_hallucination(grounding, claims, rule, "bfloat16"),
        ]
        assert len({identity.digest for identity in found}) == len(found)

    def test_without_a_checker_the_rule_does_not_matter(self) -> None:
        grounding = ("sha256:1", GroundingDescription("passages"))
        one, other = (identify_hallucination(grounding, None, Escalation(0.5, rate), "float32") for rate in (0.1, 0.2))
        assert one == other
