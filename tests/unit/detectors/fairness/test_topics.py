from __future__ import annotations

import json

import numpy as np
import pytest

from detectors.fairness.topics import LEARNT, NO_TOPIC, TOPICS, PromptTopics


def vector(rng: np.random.Generator, kind: int, dim: int = 32) -> bytes:
    centre = np.zeros(dim)
    centre[kind] = 1.0
    return (centre + rng.normal(0, 0.05, dim)).astype("<f2").tobytes()


class TestPromptTopics:
    def test_it_tells_kinds_of_prompts_apart(self) -> None:
        rng, topics = np.random.default_rng(1), PromptTopics()
        found = [(kind, topics.assign("e", vector(rng, kind))) for kind in [0, 1, 2] * 50]
        assert len({topic for _, topic in found}) == 3
        assert len(set(found)) == 3

    def test_it_has_no_more_than_eight(self) -> None:
        rng, topics = np.random.default_rng(2), PromptTopics()
        assert len({topics.assign("e", vector(rng, kind % 32)) for kind in range(500)}) == TOPICS

    def test_it_stops_learning(self) -> None:
        rng, topics = np.random.default_rng(3), PromptTopics()
        for number in range(LEARNT):
            topics.assign("e", vector(rng, number % 4))
        frozen = topics.to_json()
        for number in range(100):
            topics.assign("e", vector(rng, number % 32))
        assert topics.to_json() == frozen

    @pytest.mark.parametrize(
        "bad", [None, b"", bytes(64), np.full(32, np.nan, "<f2").tobytes(), np.full(32, np.inf, "<f2").tobytes()]
    )
    def test_a_vector_that_says_nothing_has_no_topic_and_teaches_nothing(self, bad: bytes | None) -> None:
        topics = PromptTopics()
        topics.assign("e", vector(np.random.default_rng(4), 0))
        before = topics.to_json()
        assert topics.assign("e", bad) == NO_TOPIC
        assert topics.to_json() == before

    def test_constant_vectors_are_one_topic(self) -> None:
        topics, same = PromptTopics(), vector(np.random.default_rng(5), 0)
        assert {topics.assign("e", same) for _ in range(50)} == {"1.0"}

    def test_another_encoder_never_mixes_with_the_one_before(self) -> None:
        rng, topics = np.random.default_rng(6), PromptTopics()
        assert topics.assign("e", vector(rng, 0)) == "1.0"
        assert topics.assign("f", vector(rng, 0)) == "2.0"
        assert topics.assign("f", vector(rng, 0, dim=16)) == "3.0"

    def test_it_is_stored_exactly(self) -> None:
        rng, topics = np.random.default_rng(7), PromptTopics()
        for number in range(300):
            topics.assign("e", vector(rng, number % 9))
        again = PromptTopics.from_json(json.loads(json.dumps(topics.to_json())))
        rest = [vector(rng, number % 9) for number in range(100)]
        assert [topics.assign("e", one) for one in rest] == [again.assign("e", one) for one in rest]
        assert again.to_json() == topics.to_json()

    def test_it_refuses_a_damaged_state(self) -> None:
        topics = PromptTopics()
        topics.assign("e", vector(np.random.default_rng(8), 0))
        with pytest.raises(ValueError, match="reshape"):
            PromptTopics.from_json({**topics.to_json(), "dim": 31})
