from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from torch import Tensor

from detectors.composition import Profile, check_members
from detectors.contract import Detector, Findings, SeenExchange, TextFailure, TextReading, TextRequest
from detectors.errors import DetectorError
from detectors.model import Embedding, Exchange, ExchangeScores, assessed, not_assessed
from tests.unit.detectors.fakes import FakeDetector, identity


class FakeReader:
    """Reads a text as its own length; remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[TextRequest] = []

    def read(self, texts: Sequence[TextRequest]) -> list[TextReading | TextFailure]:
        self.requests += texts
        return [
            TextFailure("text_too_long") if text.text == "long" else TextReading(b"", None, dict.fromkeys(text.heads))
            for text in texts
        ]

    def forget(self) -> None:
        """Nothing is remembered."""


class FakeHead:
    reads_tokens = False

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self, states: object, mask: object) -> Tensor:
        raise AssertionError("the fake reader runs no head")

    def combine(self, tokens: object, parts: object) -> object:
        raise AssertionError("the fake reader runs no head")


def exchanges(*responses: str) -> list[Exchange]:
    return [Exchange(str(number), "prompt", response) for number, response in enumerate(responses)]


def states(answers: Sequence[ExchangeScores]) -> list[list[tuple[str, str | None]]]:
    return [[(score.metric, score.reason) for score in answer.scores] for answer in answers]


def make_profile(*members: Detector) -> Profile:
    return Profile("fake", members, FakeReader())


class TestAnswers:
    def test_it_lists_metrics_and_traits_in_the_order_of_the_members(self) -> None:
        profile = make_profile(FakeDetector("b", metrics=("z", "y"), traits=("u",)), FakeDetector("a", traits=("t",)))
        assert (profile.metrics(), profile.traits()) == (("z", "y", "a"), ("u", "t"))
        answer = profile.score(exchanges("hi"))[0]
        assert [score.metric for score in answer.scores] == ["z", "y", "a"]
        assert [(trait.name, dict(trait.labels)) for trait in answer.traits] == [("u", {"0": 1.0}), ("t", {"0": 1.0})]
        assert [one.name for one in profile.identities()] == ["b/fake", "a/fake"]

    def test_it_answers_in_the_callers_order(self) -> None:
        answers = make_profile(FakeDetector("a")).score(exchanges("x" * 30, "", "x" * 10))
        assert [answer.scores[0].value for answer in answers] == [0.3, 0.0, 0.1]

    def test_it_answers_nothing_with_nothing(self) -> None:
        member = FakeDetector("a")
        assert make_profile(member).score([]) == []
        assert member.asked == []

    def test_it_keeps_incomplete_exchanges_from_every_member(self) -> None:
        member = FakeDetector("a", traits=("t",))
        given = [Exchange("0", "p", "r", incomplete="attributes_dropped"), *exchanges("hi")]
        answers = make_profile(member).score(given)
        assert states(answers) == [[("a", "attributes_dropped")], [("a", None)]]
        assert answers[0].traits[0].reason == "attributes_dropped"
        assert member.asked == [1]


class TestReading:
    def test_it_reads_each_text_once_with_the_heads_of_all_who_asked(self) -> None:
        reader = FakeReader()
        members = [
            FakeDetector("a", head=FakeHead("one"), reads_response=True),
            FakeDetector("b", head=FakeHead("two"), reads_response=True),
            FakeDetector("c"),
        ]
        Profile("fake", members, reader).score(exchanges("x", "y", "x", " \n"))
        assert reader.requests == [
            TextRequest("x", frozenset({"one", "two"})),
            TextRequest("y", frozenset({"one", "two"})),
        ]

    def test_it_shows_each_member_only_what_it_asked_for(self) -> None:
        seen: list[SeenExchange] = []

        def look(one: SeenExchange) -> Findings:
            seen.append(one)
            return Findings((not_assessed("b", "looked", identity("b/fake")),))

        make_profile(FakeDetector("a", reads_response=True), FakeDetector("b", look)).score(exchanges("x"))
        assert seen[0].readings == {}
        assert seen[0].reading("x") is None

    def test_it_passes_failures_of_reading_on(self) -> None:
        def judge(one: SeenExchange) -> Findings:
            reading = one.reading(one.exchange.response)
            assert isinstance(reading, TextFailure)
            return Findings((not_assessed("a", reading.reason, identity("a/fake")),))

        answers = make_profile(FakeDetector("a", judge, reads_response=True)).score(exchanges("long"))
        assert states(answers) == [[("a", "text_too_long")]]


def throw(one: SeenExchange) -> Findings:
    raise RuntimeError(one.exchange.response)


def return_nan(one: SeenExchange) -> Findings:
    return Findings((assessed("bad", float("nan"), identity("bad/fake")),))


WRONG: dict[str, Callable[[SeenExchange], object]] = {
    "throws": throw,
    "returns NaN": return_nan,
    "returns None": lambda one: None,
    "answers for another's metric": lambda one: Findings((assessed("good", 0.5, identity("bad/fake")),)),
    "answers twice": lambda one: Findings((assessed("bad", 0.5, identity("bad/fake")),) * 2),
    "answers for nothing": lambda one: Findings(),
    "signs with another's name": lambda one: Findings((assessed("bad", 0.5, identity("good/fake")),)),
    "embeds in another's name": lambda one: Findings(
        (assessed("bad", 0.5, identity("bad/fake")),), embeddings=(Embedding("prompt", identity("good/fake"), b"", 0),)
    ),
}


class TestFailures:
    @pytest.mark.parametrize("fault", WRONG)
    def test_it_costs_a_member_only_the_exchange_it_failed_on(self, fault: str) -> None:
        def judge(one: SeenExchange) -> Findings:
            if one.exchange.response == "poison":
                wrong: Findings = WRONG[fault](one)  # type: ignore[assignment]
                return wrong
            return Findings((assessed("bad", 0.25, identity("bad/fake")),))

        answers = make_profile(FakeDetector("bad", judge), FakeDetector("good")).score(exchanges("a", "poison", "b"))
        assert states(answers) == [
            [("bad", None), ("good", None)],
            [("bad", "detector_error"), ("good", None)],
            [("bad", None), ("good", None)],
        ]

    def test_it_asks_again_for_each_alone_when_the_number_of_answers_is_wrong(self) -> None:
        class Greedy(FakeDetector):
            def judge(self, seen: Sequence[SeenExchange]) -> Sequence[Findings]:
                return super().judge(seen)[:1]

        member = Greedy("a")
        assert states(make_profile(member).score(exchanges("x", "y"))) == [[("a", None)]] * 2
        assert member.asked == [2, 1, 1]

    def test_it_marks_all_a_member_answers_for_when_it_cannot_say_what_to_read(self) -> None:
        class Picky(FakeDetector):
            def texts(self, exchange: Exchange) -> Sequence[str]:
                if exchange.response == "poison":
                    raise KeyError
                return []

        member = Picky("a", metrics=("a", "b"), traits=("t",))
        answers = make_profile(member).score(exchanges("x", "poison"))
        assert states(answers) == [[("a", None), ("b", None)], [("a", "detector_error"), ("b", "detector_error")]]
        assert answers[1].traits[0].reason == "detector_error"
        assert member.asked == [1]

    def test_it_logs_who_failed_and_never_what_was_read(self, caplog: pytest.LogCaptureFixture) -> None:
        make_profile(FakeDetector("a", throw)).score(exchanges("my secret"))
        assert [record.__dict__["detector"] for record in caplog.records] == ["a/fake"]
        assert "secret" not in caplog.text


class TestMembers:
    @pytest.mark.parametrize("name", ["", "Toxicity", "a b", "1st", "a" * 33, "latency_ms", "embedding", "a-b"])
    def test_it_refuses_names_that_could_not_be_stored(self, name: str) -> None:
        with pytest.raises(DetectorError, match="cannot have a metric or trait named"):
            check_members([FakeDetector("a", metrics=(name,))])
        with pytest.raises(DetectorError, match="cannot have a metric or trait named"):
            check_members([FakeDetector("a", traits=(name,))])

    def test_it_refuses_two_that_answer_for_the_same(self) -> None:
        with pytest.raises(DetectorError, match="b/fake and a/fake both answer for 'a'"):
            check_members([FakeDetector("a"), FakeDetector("b", metrics=("a",))])

    def test_it_refuses_one_without_an_identity(self) -> None:
        member = FakeDetector("a")
        member.identities = ()  # type: ignore[assignment]
        with pytest.raises(DetectorError, match="FakeDetector names no identity"):
            check_members([member])
