from __future__ import annotations

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.model import DetectorIdentity, Embedding, Score, Span, assessed, not_assessed

MAKER = DetectorIdentity("toxicity/test", "1.0.0", "sha256:" + "a" * 64)


class TestScore:
    def test_an_assessed_score_has_a_value_and_no_reason(self) -> None:
        score = assessed("toxicity", 0.25, MAKER, labels={"insult": 0.5})
        assert (score.value, score.state, score.reason, dict(score.labels)) == (0.25, "assessed", None, {"insult": 0.5})

    def test_a_score_that_is_not_assessed_has_a_reason_and_no_value(self) -> None:
        score = not_assessed("toxicity", "no_response_text", MAKER)
        assert (score.value, score.state, score.reason) == (None, "not_assessed", "no_response_text")

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1e-9, 1.0000001])
    def test_no_number_outside_the_unit_interval_enters(self, value: float) -> None:
        with pytest.raises(ValueError, match=r"needs a value in \[0, 1\]"):
            assessed("toxicity", value, MAKER)
        with pytest.raises(ValueError, match="label 'insult'"):
            assessed("toxicity", 0.5, MAKER, labels={"insult": value})

    @given(st.floats(0.0, 1.0))
    def test_every_number_in_the_unit_interval_enters(self, value: float) -> None:
        assert assessed("toxicity", value, MAKER).value == value

    @pytest.mark.parametrize(
        ("value", "state", "reason"),
        [
            (None, "assessed", None),
            (0.5, "assessed", "but"),
            (0.5, "not_assessed", "because"),
            (None, "not_assessed", None),
            (None, "not_assessed", ""),
            (0.5, "maybe", None),
        ],
    )
    def test_state_value_and_reason_must_agree(self, value: float | None, state: str, reason: str | None) -> None:
        with pytest.raises(ValueError, match=r"toxicity|state"):
            Score("toxicity", value, state, reason, {}, (), MAKER)  # type: ignore[arg-type]

    def test_later_changes_to_the_callers_labels_do_not_reach_it(self) -> None:
        labels = {"insult": 0.5}
        score = assessed("toxicity", 0.5, MAKER, labels=labels)
        labels["insult"] = 7.0
        assert score.labels["insult"] == 0.5

    def test_survives_the_way_to_another_process(self) -> None:
        score = assessed("toxicity", 0.5, MAKER, labels={"insult": 0.5}, spans=(Span(0, 3, 0.5),))
        assert pickle.loads(pickle.dumps(score)) == score


class TestSpan:
    @pytest.mark.parametrize(("start", "end", "value"), [(-1, 2, 0.5), (2, 2, 0.5), (3, 2, 0.5), (0, 1, math.nan)])
    def test_refuses_empty_ranges_and_bad_values(self, start: int, end: int, value: float) -> None:
        with pytest.raises(ValueError, match="span"):
            Span(start, end, value)


class TestDetectorIdentity:
    @pytest.mark.parametrize("digest", ["", "sha256:", "sha256:" + "A" * 64, "md5:" + "a" * 64, "sha256:" + "a" * 63])
    def test_refuses_what_is_no_digest(self, digest: str) -> None:
        with pytest.raises(ValueError, match="digest"):
            DetectorIdentity("toxicity/test", "1.0.0", digest)

    def test_needs_a_name(self) -> None:
        with pytest.raises(ValueError, match="name"):
            DetectorIdentity("", "1.0.0", MAKER.digest)


class TestEmbedding:
    def test_refuses_a_vector_of_another_length(self) -> None:
        with pytest.raises(ValueError, match="8 bytes, got 6"):
            Embedding("prompt", MAKER, b"\0" * 6, 4)

    def test_does_not_print_its_vector(self) -> None:
        assert "vector" not in repr(Embedding("prompt", MAKER, b"\0" * 8, 4))
