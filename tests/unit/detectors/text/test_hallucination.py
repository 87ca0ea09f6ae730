from __future__ import annotations

import json
import math
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.errors import ModelFileError
from detectors.model import Exchange
from detectors.text.encoder import Encoder, load_encoder
from detectors.text.hallucination import HEADS_FOLDER, HallucinationDetector, load_hallucination_detector

RETURNS = (
    "Customers may return items within 14 days of delivery for a full refund. Opened software cannot be returned. "
    "Return shipping is free for orders above 50 euros."
)
LEAVE = (
    "Employees are entitled to 25 days of paid leave per calendar year. Unused leave expires on 31 March of the "
    "following year. Parental leave must be requested in writing seven weeks in advance."
)
MUSEUM = (
    "The museum opens Tuesday to Sunday from 10:00 to 18:00. Admission is 12 euros; children under six enter free. "
    "The exhibition on Ada Lovelace closes on 4 October 2026."
)

GROUNDED = [
    (RETURNS, "Can I send it back?", "Yes, you can return your items within 14 days of delivery for a full refund."),
    (RETURNS, "Is shipping free?", "Sure! Return shipping is free if your order is above 50 euros."),
    (RETURNS, "I opened the software.", "I'm sorry, opened software cannot be returned."),
    (LEAVE, "How many days off?", "You are entitled to 25 days of paid leave per year."),
    (
        LEAVE,
        "When does it expire?",
        "Unused leave expires on 31 March of the following year. Let me know if you need more!",
    ),
    (LEAVE, "How do I request parental leave?", "Request parental leave in writing, 7 weeks in advance."),
    (MUSEUM, "How much is it?", "Admission is 12 euros, and children under 6 enter free."),
    (MUSEUM, "When is it open?", "The museum opens from Tuesday to Sunday, from 10:00 to 18:00."),
]
UNGROUNDED = [
    (RETURNS, "Can I send it back?", "You can return items within 90 days, and we pay you a bonus of 20 dollars."),
    (RETURNS, "Who founded you?", "Our company was founded by Thomas Miller in Chicago in 1987."),
    (
        RETURNS,
        "Is shipping free?",
        "Return shipping costs 9.99 dollars and is handled by Northwind Logistics in Rotterdam.",
    ),
    (LEAVE, "How many days off?", "Employees get 40 days of vacation plus a company car after six months."),
    (
        LEAVE,
        "Tell me about leave.",
        "You are entitled to 25 days of paid leave. Managers in Oslo also get free ski passes.",
    ),
    (MUSEUM, "Who is shown?", "The exhibition presents Marie Curie's laboratory and her two Nobel prizes."),
    (MUSEUM, "Is there food?", "The rooftop restaurant serves vegan burgers until midnight."),
]


@pytest.fixture(scope="module")
def detector(encoder: Encoder) -> HallucinationDetector:
    return load_hallucination_detector(encoder)


class TestOrdinaryAnswers:
    @pytest.mark.parametrize(("context", "prompt", "response"), GROUNDED)
    def test_scores_grounded_answers_low(
        self, detector: HallucinationDetector, context: str, prompt: str, response: str
    ) -> None:
        value = detector.score(response, (context,), prompt).value
        assert value is not None
        assert value < 0.5

    @pytest.mark.parametrize(("context", "prompt", "response"), UNGROUNDED)
    def test_scores_ungrounded_answers_high(
        self, detector: HallucinationDetector, context: str, prompt: str, response: str
    ) -> None:
        value = detector.score(response, (context,), prompt).value
        assert value is not None
        assert value > 0.5

    def test_finds_support_in_any_of_several_documents(self, detector: HallucinationDetector) -> None:
        response = "Return shipping is free for orders above 50 euros. Unused leave expires on 31 March."
        score = detector.score(response, (MUSEUM, LEAVE, RETURNS), None)
        assert score.value is not None
        assert score.value < 0.3

    def test_is_as_bad_as_the_worst_sentence(self, detector: HallucinationDetector) -> None:
        good, bad = GROUNDED[0][2], "Thomas Miller founded us in Chicago."
        alone = detector.score(bad, (RETURNS,), None).value
        assert detector.score(f"{good} {bad} {good}", (RETURNS,), None).value == pytest.approx(alone, abs=0.05)


class TestSpans:
    def test_point_at_the_unsupported_words(self, detector: HallucinationDetector) -> None:
        response = "You can return items within 14 days. Thomas Miller founded us in Chicago."
        spans = detector.score(response, (RETURNS,), None).spans
        assert [response[span.start : span.end] for span in spans] == ["Thomas Miller founded us in Chicago"]

    def test_are_absent_when_all_is_supported(self, detector: HallucinationDetector) -> None:
        assert detector.score(GROUNDED[0][2], (RETURNS,), None).spans == ()

    def test_count_characters_beyond_the_basic_plane(self, detector: HallucinationDetector) -> None:
        response = "\U0001f600\U0001f600 Leonardo Brandeis founded Northwind Logistics."
        spans = detector.score(response, (RETURNS,), None).spans
        assert response[spans[0].start : spans[0].end].startswith("Leonardo")


class TestNotAssessed:
    @pytest.mark.parametrize("response", [None, "", " \n"])
    def test_without_a_response(self, detector: HallucinationDetector, response: str | None) -> None:
        assert detector.score(response, (RETURNS,), None).reason == "no_response_text"

    @pytest.mark.parametrize("contexts", [(), ("",), ("  ", "\n")])
    def test_without_a_context(self, detector: HallucinationDetector, contexts: tuple[str, ...]) -> None:
        assert detector.score("It is open.", contexts, None).reason == "no_context"

    @pytest.mark.parametrize("response", ["Yes.", "Sure, happy to help!", "\U0001f44d", "..."])
    def test_when_nothing_is_claimed(self, detector: HallucinationDetector, response: str) -> None:
        assert detector.score(response, (RETURNS,), None).reason == "no_checkable_claim"

    def test_in_another_script(self, detector: HallucinationDetector) -> None:
        answer = "\u0412\u043e\u0437\u0432\u0440\u0430\u0442 14 \u0434\u043d\u0435\u0439."
        assert detector.score(answer, (RETURNS,), None).reason == "unsupported_text"
        assert detector.score("You can return it.", (answer,), None).reason == "unsupported_text"

    def test_beyond_the_length_limits(self, detector: HallucinationDetector) -> None:
        assert detector.score("word " * 10_001, (RETURNS,), None).reason == "text_too_long"
        assert detector.score("x1\u00a4y2 " * 8_000, (RETURNS,), None).reason == "text_too_long"
        assert detector.score("It is open.", ("word " * 500_000,), None).reason == "text_too_long"


class TestRobustness:
    @settings(max_examples=50, deadline=None)
    @given(
        response=st.text(max_size=120),
        contexts=st.lists(st.text(max_size=120), max_size=3),
        prompt=st.none() | st.text(max_size=40),
    )
    def test_any_text_gets_a_score_with_spans_inside_it(
        self, detector: HallucinationDetector, response: str, contexts: list[str], prompt: str | None
    ) -> None:
        score = detector.score(response, contexts, prompt)
        assert all(span.end <= len(response) for span in score.spans)

    @pytest.mark.parametrize("unit", [".", "a'", "1,", "n't ", "A. ", "-x", "(\n"])
    def test_hostile_repetition_takes_bounded_time(self, detector: HallucinationDetector, unit: str) -> None:
        started = time.process_time()
        detector.score(unit * 20_000, (unit * 20_000,), unit * 20_000)
        assert time.process_time() - started < 10.0


class TestBatches:
    def test_give_each_exchange_what_it_gets_alone(self, detector: HallucinationDetector) -> None:
        exchanges = [
            Exchange(str(number), prompt, response, (context,))
            for number, (context, prompt, response) in enumerate(GROUNDED + UNGROUNDED)
        ]
        exchanges.insert(3, Exchange("none", None, None, ()))
        exchanges.insert(5, Exchange("talk", None, "Sure, happy to help!", (RETURNS,)))
        together = detector.score_all(exchanges)
        for exchange, score in zip(exchanges, together, strict=True):
            alone = detector.score(exchange.response, exchange.contexts, exchange.prompt)
            assert (score.state, score.reason) == (alone.state, alone.reason)
            assert (score.value or 0.0) == pytest.approx(alone.value or 0.0, abs=0.02)

    def test_of_nothing_give_nothing(self, detector: HallucinationDetector) -> None:
        assert detector.score_all([]) == []

    def test_reading_that_is_not_finite_raises_and_gives_no_score(self, detector: HallucinationDetector) -> None:
        broken = replace(detector.reader, output_bias=torch.full_like(detector.reader.output_bias, math.nan))
        with pytest.raises(ArithmeticError):
            replace(detector, reader=broken).score(GROUNDED[0][2], (RETURNS,), None)


def copied(folder: Path) -> Path:
    for name in ("hallucination.json", "hallucination.safetensors"):
        shutil.copyfile(HEADS_FOLDER / name, folder / name)
    return folder


class TestLoading:
    def test_gives_the_same_identity_each_time(self, encoder: Encoder, detector: HallucinationDetector) -> None:
        assert load_hallucination_detector(encoder).identity == detector.identity

    def test_loads_the_encoder_itself_if_it_gets_none(self, detector: HallucinationDetector) -> None:
        assert load_hallucination_detector().identity == detector.identity

    def test_another_number_format_gives_another_digest(self, detector: HallucinationDetector) -> None:
        other = load_hallucination_detector(load_encoder(precision="bfloat16"))
        assert other.identity.digest != detector.identity.digest

    def test_other_parameters_give_another_digest(
        self, encoder: Encoder, detector: HallucinationDetector, tmp_path: Path
    ) -> None:
        path = copied(tmp_path) / "hallucination.json"
        card = json.loads(path.read_text())
        card["model"]["sentence"]["offset"] += 1.0
        path.write_text(json.dumps(card))
        assert load_hallucination_detector(encoder, tmp_path).identity.digest != detector.identity.digest

    @pytest.mark.parametrize("content", ["", "{}", "[]", '{"model": {"sentence": {"weights": {}, "offset": 0}}}'])
    def test_refuses_parameters_that_are_none(self, encoder: Encoder, tmp_path: Path, content: str) -> None:
        (copied(tmp_path) / "hallucination.json").write_text(content)
        with pytest.raises(ModelFileError, match=r"hallucination\.json"):
            load_hallucination_detector(encoder, tmp_path)

    @pytest.mark.parametrize("weight", [math.nan, math.inf, "x", None])
    def test_refuses_weights_that_are_no_numbers(self, encoder: Encoder, tmp_path: Path, weight: object) -> None:
        path = copied(tmp_path) / "hallucination.json"
        card = json.loads(path.read_text())
        card["model"]["word"]["weights"]["reader"] = weight
        path.write_text(json.dumps(card))
        with pytest.raises(ModelFileError, match=r"hallucination\.json"):
            load_hallucination_detector(encoder, tmp_path)

    def test_names_a_missing_file(self, encoder: Encoder, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match=r"cannot read .*hallucination\.json"):
            load_hallucination_detector(encoder, tmp_path)
