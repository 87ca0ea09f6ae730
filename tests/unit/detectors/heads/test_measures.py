from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.measures import auroc, auroc_interval, calibration_error, fit_logistic, fit_platt, subgroup_aurocs


class TestAuroc:
    @pytest.mark.parametrize(
        ("labels", "scores", "expected"),
        [
            ([0, 0, 1, 1], [1, 2, 3, 4], 1.0),
            ([1, 1, 0, 0], [1, 2, 3, 4], 0.0),
            ([0, 1], [5, 5], 0.5),
            ([0, 1, 0, 1], [1, 2, 3, 4], 0.75),
            ([0, 1, 1], [1, 1, 2], 0.75),
        ],
    )
    def test_gives_known_answers(self, labels: list[int], scores: list[float], expected: float) -> None:
        assert auroc(labels, scores) == expected

    @pytest.mark.parametrize("labels", [[], [1, 1], [0]])
    def test_is_undefined_without_both_classes(self, labels: list[int]) -> None:
        assert np.isnan(auroc(labels, list(range(len(labels)))))

    @given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=40))
    def test_equals_the_share_of_pairs_in_order(self, pairs: list[tuple[bool, int]]) -> None:
        positive = [score for label, score in pairs if label]
        negative = [score for label, score in pairs if not label]
        if positive and negative:
            wins = sum((p > n) + 0.5 * (p == n) for p in positive for n in negative)
            expected = wins / (len(positive) * len(negative))
            assert auroc([label for label, _ in pairs], [score for _, score in pairs]) == pytest.approx(expected)

    def test_interval_covers_the_value_and_depends_on_the_seed_alone(self) -> None:
        rng = np.random.default_rng(1)
        labels = rng.random(200) < 0.5
        scores = labels + rng.normal(size=200)
        first = auroc_interval(labels, scores, np.random.default_rng(5), resamples=200)
        again = auroc_interval(labels, scores, np.random.default_rng(5), resamples=200)
        assert first == again
        assert first.low < first.value < first.high


class TestSubgroups:
    def test_shows_a_group_that_is_falsely_accused(self) -> None:
        labels = np.array([0, 1, 0, 1, 0, 1])
        scores = np.array([0.9, 0.95, 0.1, 0.8, 0.1, 0.8])
        inside = np.array([True, True, False, False, False, False])
        subgroup, bpsn, bnsp = subgroup_aurocs(labels, scores, {"blind": inside})["blind"]
        assert (subgroup, bpsn, bnsp) == (1.0, 0.0, 1.0)


class TestFits:
    def test_logistic_finds_the_weights_that_made_the_data(self) -> None:
        rng = np.random.default_rng(3)
        features = rng.normal(size=(20_000, 2))
        chance = 1 / (1 + np.exp(-(features @ [2.0, -1.0] + 0.5)))
        weights, offset = fit_logistic(features, (rng.random(20_000) < chance).astype(float))
        assert weights == pytest.approx([2.0, -1.0], abs=0.1)
        assert offset == pytest.approx(0.5, abs=0.1)

    def test_platt_stays_finite_on_separable_scores(self) -> None:
        slope, offset = fit_platt([0, 0, 1, 1], [-2.0, -1.0, 1.0, 2.0], np.ones(4))
        assert 0 < slope < 100
        assert abs(offset) < 1

    def test_platt_follows_the_weights(self) -> None:
        labels, logits = [0, 1] * 50, [0.0] * 100
        _, offset = fit_platt(labels, logits, np.where(np.array(labels) == 1, 3.0, 1.0))
        assert 1 / (1 + np.exp(-offset)) == pytest.approx(0.75, abs=0.02)


class TestCalibrationError:
    def test_is_zero_for_honest_probabilities_and_large_for_boasts(self) -> None:
        assert calibration_error([1, 1, 1, 0], [0.75] * 4) == pytest.approx(0.0)
        assert calibration_error([0, 0, 0, 1], [0.95] * 4) == pytest.approx(0.7)
