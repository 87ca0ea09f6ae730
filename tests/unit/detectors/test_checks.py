"""The checks notice what they are for: each deliberate fault is caught by a check, and by the right one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from detectors.checks import DETECTOR_CHECKS
from detectors.composition import Profile
from detectors.contract import Findings, SeenExchange, TextFailure
from detectors.model import Exchange, Span, Trait, assessed, not_assessed
from tests.unit.detectors.fakes import EchoReader, FakeDetector, identity

MAKER = identity("probe/fake")


def judge_well(one: SeenExchange) -> Findings:
    """What a detector of the response does if it does everything right."""
    response = one.exchange.response
    reading = one.reading(response)
    if response is None or not response.strip() or isinstance(reading, TextFailure):
        reason = reading.reason if isinstance(reading, TextFailure) else "no_response_text"
        return Findings((not_assessed("probe", reason, MAKER),), (Trait("kind", "not_assessed", reason, {}, MAKER),))
    spans = (Span(0, len(response), 0.5),)
    return Findings(
        (assessed("probe", min(1.0, len(response) / 1000), MAKER, spans=spans),),
        (Trait("kind", "assessed", None, {"long": 0.5}, MAKER),),
    )


class Probe(FakeDetector):
    def __init__(self, judge: Callable[[SeenExchange], Findings] = judge_well) -> None:
        super().__init__("probe", judge, metrics=("probe",), traits=("kind",), reads_response=True)
        self.identities = (MAKER,)


def failing_checks(detector: FakeDetector) -> set[str]:
    alone = Profile("probe", [detector], EchoReader())
    failed = set()
    for check in DETECTOR_CHECKS:
        try:
            check(detector, alone)
        except AssertionError:
            failed.add(check.__name__.removeprefix("check_"))
    return failed


class TestChecks:
    def test_they_pass_a_detector_that_does_everything_right(self) -> None:
        assert failing_checks(Probe()) == set()

    def test_they_notice_one_that_depends_on_what_it_saw_before(self) -> None:
        count = iter(range(100_000))

        def drift(one: SeenExchange) -> Findings:
            well = judge_well(one)
            return (
                Findings((assessed("probe", (next(count) % 50) / 50, MAKER),), well.traits)
                if well.scores[0].value
                else well
            )

        assert {"answers_repeat", "order_is_kept", "neighbours_do_not_matter"} <= failing_checks(Probe(drift))

    def test_they_notice_one_that_assesses_nothing(self) -> None:
        def guess(one: SeenExchange) -> Findings:
            return Findings((assessed("probe", 0.0, MAKER),), (Trait("kind", "assessed", None, {}, MAKER),))

        assert failing_checks(Probe(guess)) == {"nothing_to_read_is_not_assessed"}

    def test_they_notice_one_that_never_assesses(self) -> None:
        def decline(one: SeenExchange) -> Findings:
            return Findings(
                (not_assessed("probe", "no_time", MAKER),), (Trait("kind", "not_assessed", "no_time", {}, MAKER),)
            )

        assert failing_checks(Probe(decline)) == {"plain_text_is_judged", "failed_readings_are_declined"}

    @pytest.mark.parametrize(
        ("response", "check"),
        [
            ("\U0001f600", "odd_texts_are_answered"),
            ("\u6211", "odd_texts_are_answered"),
            ("\ud800", "odd_texts_are_answered"),
            ("noon. The parcel", "huge_texts_are_answered"),
            ("93 kilograms", "spans_point_into_the_response"),
        ],
    )
    def test_they_notice_one_that_raises_or_answers_with_nan(self, response: str, check: str) -> None:
        def stumble(one: SeenExchange) -> Findings:
            if response in (one.exchange.response or ""):
                if check == "spans_point_into_the_response":
                    well = judge_well(one)
                    return Findings((assessed("probe", 0.5, MAKER, spans=(Span(0, 10_000, 0.5),)),), well.traits)
                return Findings((assessed("probe", float("nan"), MAKER),))
            return judge_well(one)

        assert check in failing_checks(Probe(stumble))

    def test_they_notice_one_that_cannot_do_without_exchanges(self) -> None:
        class Hungry(Probe):
            def judge(self, seen: Sequence[SeenExchange]) -> Sequence[Findings]:
                assert seen[0].exchange.id
                return super().judge(seen)

        with pytest.raises(IndexError):
            failing_checks(Hungry())

    def test_they_notice_one_that_asks_to_read_what_is_no_text(self) -> None:
        class Asking(Probe):
            def texts(self, exchange: Exchange) -> Sequence[str]:
                return [exchange.response]  # type: ignore[list-item]

        assert "texts_asked_for_are_texts" in failing_checks(Asking())

    def test_they_notice_one_that_ignores_that_a_text_could_not_be_read(self) -> None:
        def ignore(one: SeenExchange) -> Findings:
            if isinstance(one.reading(one.exchange.response), TextFailure):
                return Findings(
                    (not_assessed("probe", "no_response_text", MAKER),),
                    (Trait("kind", "not_assessed", "no_response_text", {}, MAKER),),
                )
            return judge_well(one)

        assert failing_checks(Probe(ignore)) == {"failed_readings_are_declined"}

    def test_they_notice_names_that_cannot_be_stored(self) -> None:
        probe = Probe()
        probe.metrics = ("latency_ms",)
        from detectors.checks import check_names_can_be_stored
        from detectors.errors import DetectorError

        with pytest.raises(DetectorError, match="latency_ms"):
            check_names_can_be_stored(probe, Profile("probe", [Probe()], EchoReader()))
