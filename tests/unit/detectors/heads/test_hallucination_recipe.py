"""The parts of the hallucination recipe that compute figures: what they say must be what is so."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.model import DetectorIdentity, Span, assessed
from detectors.text.encoder import Encoder
from training.hallucination_fits import Rows, fit, token_values
from training.hallucination_report import cluster_interval, rate, report_spans, thresholds
from training.late_interaction import LAYERS, claim_features, measure_distances, token_features
from training.reliability_diagram import bin_reliability, draw_reliability
from training.support_examples import Example, TokenClaim

IDENTITY = DetectorIdentity("test", "1", "sha256:" + "0" * 64)


def example(text: str, context: str, *ranges: tuple[int, int]) -> Example:
    return Example(text, (context,), bool(ranges), ranges, "g", "test")


class TestLateInteraction:
    def test_is_zero_for_the_same_text_and_large_for_another(self, encoder: Encoder) -> None:
        same, other = measure_distances(
            encoder,
            [
                example("The ferry leaves.", "The ferry leaves."),
                example("The ferry leaves.", "Blue paint dries slowly."),
            ],
        )
        assert same.values == pytest.approx(0.0, abs=1e-5)
        assert other.values.mean() > 0.2

    def test_gives_as_many_features_whatever_the_text(self, encoder: Encoder) -> None:
        for text in ("", "Word.", "Several words in a row."):
            distances = measure_distances(encoder, [example(text, "A context.")])[0]
            assert len(claim_features(distances)) == 3 * len(LAYERS)
            assert [len(row) for row in token_features(distances, [(0, 4), (5, 8)])] == [3 * len(LAYERS) + 1] * 2


class TestTokenValues:
    def test_take_the_words_value_and_the_lesser_neighbours_for_signs(self) -> None:
        claim = TokenClaim(
            example("Ten, big dogs.", ""), ((0, 3, False), (3, 4, False), (5, 8, True), (9, 13, True), (13, 14, False))
        )
        values = token_values(claim, [(0, 3, 0.2), (5, 8, 0.9), (9, 13, 0.6)])
        assert values.tolist() == [0.2, 0.2, 0.9, 0.6, 0.0]

    def test_are_zero_where_nothing_is_claimed(self) -> None:
        claim = TokenClaim(example("Hi.", ""), ((0, 2, False), (2, 3, False)))
        assert token_values(claim, []).tolist() == [0.0, 0.0]


class TestFit:
    def test_uses_only_the_columns_it_is_given(self) -> None:
        rng = np.random.default_rng(2)
        features = rng.normal(size=(500, 3))
        model = fit([Rows(features, features[:, 0] > 0)], (0, 2), None)
        assert model.weights[0] > 1.0
        assert model.weights[1] == 0.0

    def test_is_calibrated_for_the_share_asked_for(self) -> None:
        features = np.zeros((100, 1))
        model = fit([Rows(features, np.arange(100) < 80)], (0,), 0.3)
        assert model.probability((0.0,)) == pytest.approx(0.3, abs=1e-3)

    def test_lets_sets_count_alike_whatever_their_size(self) -> None:
        small = Rows(np.zeros((10, 1)), np.ones(10, dtype=bool))
        large = Rows(np.zeros((1000, 1)), np.zeros(1000, dtype=bool))
        assert fit([small, large], (0,), None).probability((0.0,)) == pytest.approx(0.5, abs=1e-3)


class TestRates:
    def test_count_what_is_flagged_of_either_kind(self) -> None:
        truth, values = np.array([True, True, False, False]), np.array([0.9, 0.1, 0.5, 0.4])
        assert rate(truth, values) == {"recall": 0.5, "false_alarms": 0.5}
        assert rate(truth[:2], values[:2]) == {"recall": 0.5}

    def test_thresholds_keep_their_promise(self) -> None:
        rng = np.random.default_rng(3)
        truth = rng.random(400) < 0.5
        values = rng.random(400) * 0.5 + truth * 0.3
        for target, found in thresholds(truth, values).items():
            assert found["false_alarms"] <= float(target)
            assert found["recall"] > 0.0


class TestSpans:
    def test_are_compared_character_by_character_without_space(self) -> None:
        text = "one two three"
        spans = (Span(0, 7, 0.9),)
        figures = report_spans([assessed("hallucination", 0.9, IDENTITY, spans=spans)], [example(text, "", (4, 13))])
        assert figures == {"precision": 0.5, "recall": 0.375, "f1": 0.4286}


class TestClusterInterval:
    def test_covers_the_value_and_is_wider_than_one_over_tokens(self) -> None:
        rng = np.random.default_rng(5)
        claims, values = [], []
        for _ in range(40):
            shift = rng.normal()
            flags = rng.random(10) < 0.4
            claims.append(TokenClaim(example("x", ""), tuple((i, i + 1, bool(flag)) for i, flag in enumerate(flags))))
            values += list(flags + shift + rng.normal(size=10) * 0.3)
        figures = cluster_interval(claims, np.array(values), np.ones(400, dtype=bool), resamples=200)
        assert figures["low"] < figures["auroc"] < figures["high"]
        assert figures["high"] - figures["low"] > 0.05


class TestReliability:
    def test_bins_hold_means_and_counts(self) -> None:
        low, high = bin_reliability([1, 0, 1, 1], [0.05, 0.05, 1.0, 0.95])
        assert low == pytest.approx((0.05, 0.5, 2))
        assert high == pytest.approx((0.975, 1.0, 2))

    def test_is_drawn_as_one_svg_with_a_point_per_bin(self) -> None:
        drawing = draw_reliability("Title", {"a": [(0.1, 0.2, 5), (0.9, 0.8, 5)], "b": [(0.5, 0.5, 3)]})
        assert drawing.startswith("<svg ")
        assert drawing.rstrip().endswith("</svg>")
        assert drawing.count("<circle") == 3 + 2
        assert "a, 10 examples" in drawing
