from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from detectors.errors import DetectorError, ScoringProcessError
from detectors.isolation import IsolatedProfile, Loader
from detectors.isolation.profile import MOST_HANGS
from detectors.model import Exchange, ExchangeScores

LIMIT_S = 0.6
Start = Callable[..., IsolatedProfile]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[IsolatedProfile] = []

    def run(offline: bool = True, limit_s: float = LIMIT_S, **arguments: object) -> IsolatedProfile:
        loader = Loader("tests.unit.detectors.fakes:load_fakes", arguments)
        profile = IsolatedProfile(loader, limit_s=limit_s, offline=offline)
        started.append(profile)
        return profile

    yield run
    for profile in started:
        profile.close()


def exchanges(*responses: str) -> list[Exchange]:
    return [Exchange(str(number), "prompt", response) for number, response in enumerate(responses)]


def reasons(answers: list[ExchangeScores]) -> list[tuple[str | None, ...]]:
    """The reasons of the bad and of the good detector, exchange by exchange."""
    return [tuple(score.reason for score in answer.scores) for answer in answers]


class TestScoring:
    def test_it_answers_as_the_profile_itself_would(self, start: Start) -> None:
        profile = start()
        assert (profile.name, profile.metrics(), profile.traits()) == ("fakes", ("bad", "good"), ())
        assert [one.name for one in profile.identities()] == ["bad/fake", "good/fake"]
        answers = profile.score(exchanges("x" * 10, "x" * 20))
        assert [answer.id for answer in answers] == ["0", "1"]
        assert [[score.value for score in answer.scores] for answer in answers] == [[0.5, 0.1], [0.5, 0.2]]
        assert profile.score([]) == []

    def test_it_uses_another_process_and_ends_it(self, start: Start) -> None:
        profile = start()
        child = profile.process_id
        assert child not in (None, os.getpid())
        profile.close()
        profile.close()
        assert profile.process_id is None
        with pytest.raises(ProcessLookupError):
            os.kill(child or 0, 0)


class TestFailures:
    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            ("throw", "detector_error"),
            ("nan", "detector_error"),
            ("hang", "detector_timeout"),
            ("hang holding the interpreter", "detector_timeout"),
            ("exit", "detector_error"),
            ("crash", "detector_error"),
        ],
    )
    def test_it_costs_only_the_text_and_only_the_detector_at_fault(self, start: Start, fault: str, reason: str) -> None:
        answers = start().score(exchanges("a", fault, "b", "c"))
        assert reasons(answers) == [(None, None), (reason, None), (None, None), (None, None)]

    @pytest.mark.parametrize("fault", ["hang", "exit"])
    def test_it_finds_the_text_even_if_nothing_tells_which(self, start: Start, fault: str) -> None:
        responses = [f"text {number}" for number in range(40)]
        responses[17] = fault
        found = reasons(start(gather_first=True).score(exchanges(*responses)))
        expected = "detector_timeout" if fault == "hang" else "detector_error"
        assert [number for number, pair in enumerate(found) if pair != (None, None)] == [17]
        assert found[17] == (expected, None)

    def test_it_costs_a_text_that_hangs_the_shared_encoder_only_what_reads_it(self, start: Start) -> None:
        answers = start().score(exchanges("a", "hang reading", "b"))
        assert reasons(answers) == [(None, None), (None, "detector_timeout"), (None, None)]

    def test_it_finds_several_in_one_call(self, start: Start) -> None:
        answers = start().score(exchanges("hang", "a", "exit", "hang reading", "b"))
        assert reasons(answers) == [
            ("detector_timeout", None),
            (None, None),
            ("detector_error", None),
            (None, "detector_timeout"),
            (None, None),
        ]

    def test_it_does_not_fall_for_the_same_text_again(self, start: Start) -> None:
        profile = start()
        profile.score(exchanges("hang"))
        child = profile.process_id
        assert reasons(profile.score(exchanges("a", "hang"))) == [(None, None), ("detector_timeout", None)]
        assert profile.process_id == child

    def test_it_stops_asking_a_detector_that_hangs_again_and_again(
        self, start: Start, caplog: pytest.LogCaptureFixture
    ) -> None:
        profile = start()
        for number in range(MOST_HANGS):
            profile.score([Exchange("x", f"prompt {number}", "exit")])
        assert "hangs or dies too often" in caplog.text
        assert reasons(profile.score(exchanges("a"))) == [("detector_timeout", None)]

    def test_it_starts_again_when_the_child_was_killed_between_calls(self, start: Start) -> None:
        profile = start()
        first = profile.process_id
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert reasons(profile.score(exchanges("a", "b"))) == [(None, None)] * 2
        assert profile.process_id not in (None, first)


class TestClosing:
    def test_it_ends_a_call_that_is_under_way(self, start: Start) -> None:
        profile = start(limit_s=60.0)
        child = profile.process_id
        raised: list[Exception] = []

        def score() -> None:
            try:
                profile.score(exchanges("hang"))
            except DetectorError as error:
                raised.append(error)

        thread = threading.Thread(target=score)
        thread.start()
        while not profile.is_busy:
            thread.join(0.01)
        profile.close()
        thread.join(30)
        assert [type(error) for error in raised] == [ScoringProcessError]
        with pytest.raises(ProcessLookupError):
            os.kill(child or 0, 0)
        with pytest.raises(ScoringProcessError, match="was ended"):
            profile.score(exchanges("a"))


class TestOffline:
    @pytest.mark.parametrize("attempt", ["connect", "look up", "send"])
    def test_it_refuses_what_would_leave_the_machine(
        self, start: Start, caplog: pytest.LogCaptureFixture, attempt: str
    ) -> None:
        assert reasons(start().score(exchanges(attempt, "a"))) == [("detector_error", None), (None, None)]
        assert [one.__dict__["error_type"] for one in caplog.records] == ["ConnectionRefusedError"]

    def test_it_leaves_sockets_within_the_machine_alone(self, start: Start) -> None:
        assert reasons(start().score(exchanges("connect within"))) == [(None, None)]

    def test_it_permits_connections_when_asked_to(self, start: Start) -> None:
        assert reasons(start(offline=False).score(exchanges("look up"))) == [(None, None)]


class TestLogging:
    def test_it_says_where_it_hung_and_never_what_was_read(
        self, start: Start, caplog: pytest.LogCaptureFixture
    ) -> None:
        start().score(exchanges("hang holding the interpreter"))
        lost = [one for one in caplog.records if "was lost" in one.getMessage()]
        assert [one.__dict__["detector"] for one in lost] == ["bad/fake"]
        assert "misbehave" in lost[0].__dict__["where"]

    def test_it_passes_the_childs_records_on(self, start: Start, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            start().score(exchanges("throw"))
        failed = [one for one in caplog.records if one.getMessage() == "a detector failed on an exchange"]
        assert [one.__dict__["detector"] for one in failed] == ["bad/fake"]
        assert "secret" not in caplog.text


class TestLoading:
    def test_it_passes_a_refusal_on(self, start: Start) -> None:
        with pytest.raises(DetectorError, match="no weights here; fetch them"):
            start(refuse=True)

    def test_it_says_what_went_wrong_while_loading(self, start: Start) -> None:
        with pytest.raises(ScoringProcessError, match="could not be loaded: KeyError"):
            start(break_loading=True)

    def test_it_notices_a_child_that_ends_while_loading(self) -> None:
        with pytest.raises(ScoringProcessError, match="ended while it loaded"):
            IsolatedProfile(Loader("tests.unit.detectors.fakes:load_and_die"))

    def test_it_notices_a_loader_that_does_not_exist(self) -> None:
        with pytest.raises(ScoringProcessError, match="ModuleNotFoundError"):
            IsolatedProfile(Loader("tests.unit.detectors.nothing:load"))
