from __future__ import annotations

import socket
import threading

import numpy as np
import pytest

from detectors.errors import DetectorError, ModelFileError, UnknownProfileError
from detectors.model import Exchange, ExchangeScores
from detectors.profile import METRICS, Profile, load_profile

MODEL_METRICS = ("hallucination", "toxicity", "prompt_toxicity", "identity_attack")
CONTEXT = "Parcels sent on Friday arrive on Tuesday."


def reasons(answer: ExchangeScores) -> dict[str, str | None]:
    """Return the reasons of the metrics that this module's detectors answer; the rules have tests of their own."""
    return {score.metric: score.reason for score in answer.scores if score.metric in MODEL_METRICS}


class TestLoading:
    @pytest.mark.parametrize("name", ["Full", "Builtin", ""])
    def test_refuses_other_profiles_and_names_what_there_is(self, name: str) -> None:
        with pytest.raises(UnknownProfileError, match="available: builtin, full") as caught:
            load_profile(name)
        assert isinstance(caught.value, DetectorError)

    def test_refuses_a_thread_count_below_one(self) -> None:
        with pytest.raises(DetectorError, match="at least 1, got 0"):
            load_profile("builtin", threads=0)

    def test_refuses_an_empty_models_directory(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        with pytest.raises(ModelFileError, match="no encoder weights"):
            load_profile("builtin", models_dir=tmp_path_factory.mktemp("models"))

    def test_opens_no_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise AssertionError("a socket was opened")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        load_profile("builtin").warm_up()


class TestScore:
    def test_gives_every_metric_with_its_state(self, builtin: Profile) -> None:
        answer = builtin.score([Exchange("a", "When?", "It arrives on Tuesday.", (CONTEXT,))])[0]
        assert [score.metric for score in answer.scores] == list(METRICS)
        assert {score.state for score in answer.scores} == {"assessed"}
        assert [trait.name for trait in answer.traits] == ["language", "prompt_language"]

    def test_says_what_is_missing_metric_by_metric(self, builtin: Profile) -> None:
        answers = builtin.score([Exchange("a", None, "Fine."), Exchange("b", "When?", None, (CONTEXT,))])
        assert reasons(answers[0]) == {
            "hallucination": "no_context",
            "toxicity": None,
            "prompt_toxicity": "no_prompt_text",
            "identity_attack": None,
        }
        assert reasons(answers[1]) == {
            "hallucination": "no_response_text",
            "toxicity": "no_response_text",
            "prompt_toxicity": None,
            "identity_attack": "no_response_text",
        }

    def test_gives_an_incomplete_exchange_its_reason_and_nothing_else(self, builtin: Profile) -> None:
        answer = builtin.score([Exchange("a", "When?", "On Tuesday.", (CONTEXT,), incomplete="truncated")])[0]
        assert set(reasons(answer).values()) == {"truncated"}
        assert answer.embeddings == ()

    def test_judges_prompt_and_response_apart(self, builtin: Profile) -> None:
        rude, polite = "You are a stupid worthless idiot!", "I'm sorry to hear that. How can I help?"
        scores = {s.metric: s.value for s in builtin.score([Exchange("a", rude, polite)])[0].scores}
        assert scores["prompt_toxicity"] is not None
        assert scores["toxicity"] is not None
        assert scores["prompt_toxicity"] > 0.5 > scores["toxicity"]

    def test_breaks_toxicity_down_by_label(self, builtin: Profile) -> None:
        scores = {s.metric: s for s in builtin.score([Exchange("a", "Hi", "All women are stupid.")])[0].scores}
        assert scores["toxicity"].labels["identity_attack"] == scores["identity_attack"].value

    def test_marks_only_the_text_it_cannot_read(self, builtin: Profile) -> None:
        answer = builtin.score([Exchange("a", "\u4f60\u597d\uff0c\u4e16\u754c", "Hello, world.")])[0]
        assert reasons(answer)["prompt_toxicity"] == "unsupported_text"
        assert reasons(answer)["toxicity"] is None

    def test_embeds_prompt_and_response_as_unit_float16(self, builtin: Profile) -> None:
        embeddings = builtin.score([Exchange("a", "When?", "On Tuesday.")])[0].embeddings
        assert [(e.field, e.dim) for e in embeddings] == [("prompt", 384), ("response", 384)]
        for embedding in embeddings:
            assert np.linalg.norm(np.frombuffer(embedding.vector, "<f2").astype(float)) == pytest.approx(1, abs=1e-3)

    def test_embeds_only_the_texts_there_are(self, builtin: Profile) -> None:
        answers = builtin.score([Exchange("a", " ", "On Tuesday."), Exchange("b", None, None)])
        assert [[e.field for e in answer.embeddings] for answer in answers] == [["response"], []]

    def test_answers_from_several_threads(self, builtin: Profile) -> None:
        exchanges = [Exchange(str(n), f"Where is parcel {n}?", f"Parcel {n} is in Hall {n}.") for n in range(12)]
        alone = builtin.score(exchanges)
        together: list[list[ExchangeScores]] = []
        threads = [threading.Thread(target=lambda: together.append(builtin.score(exchanges))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert together == [alone] * 3


class TestIdentities:
    def test_name_every_scorer_and_the_encoder(self, builtin: Profile) -> None:
        assert [identity.name for identity in builtin.identities()] == [
            "hallucination/builtin",
            "toxicity/builtin",
            "encoder/all-MiniLM-L6-v2",
            "refusal/builtin",
            "negative_tone/builtin",
            "language/builtin",
            "pii/builtin",
            "secrets/builtin",
            "injection/builtin",
        ]

    def test_are_the_same_after_loading_again(self, builtin: Profile) -> None:
        assert load_profile("builtin").identities() == builtin.identities()


class TestPrecision:
    def test_moves_scores_only_a_little(self, builtin: Profile) -> None:
        exchanges = [
            Exchange("a", "Where is my order?", "It arrives on Tuesday."),
            Exchange("b", "You idiot!", "I'm sorry about the delay."),
        ]
        fine = load_profile("builtin", precision="float32").score(exchanges)
        coarse = load_profile("builtin", precision="bfloat16").score(exchanges)
        for left, right in zip(fine, coarse, strict=True):
            for one, other in zip(left.scores, right.scores, strict=True):
                if one.value is not None and other.value is not None:
                    assert one.value == pytest.approx(other.value, abs=0.03)
