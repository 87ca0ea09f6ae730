"""Numbers and scores as people read them: a missing one is a word."""

from __future__ import annotations

import pytest

from ui.figures import cost_text, metric_name, plural, reason_text, score_text, share_text, state_text, tokens_text


class TestScores:
    @pytest.mark.parametrize(
        ("value", "state", "text"),
        [
            (0.934, "assessed", "0.93"),
            (0.0, "assessed", "0.00"),
            (None, "not_assessed", "not assessed"),
            (None, "pending", "pending"),
            (None, None, "not assessed"),
            (None, "assessed", "not assessed"),
        ],
    )
    def test_it_is_a_number_or_the_word_for_its_state(self, value: float | None, state: str | None, text: str) -> None:
        assert score_text(value, state) == text

    @pytest.mark.parametrize(
        ("ratio", "text"), [(None, "no data"), (0.0, "0.0%"), (0.0004, "<0.1%"), (0.162, "16.2%"), (1.0, "100.0%")]
    )
    def test_it_shows_shares_without_pretending_to_zero(self, ratio: float | None, text: str) -> None:
        assert share_text(ratio) == text


class TestWords:
    def test_it_counts_nouns(self) -> None:
        assert plural(1, "trace") == "1 trace"
        assert plural(1_204, "trace") == "1,204 traces"
        assert plural(2, "entry", "entries") == "2 entries"

    def test_it_names_metrics_reasons_and_states_it_does_not_know(self) -> None:
        assert metric_name("made_up") == "Made up"
        assert reason_text("made_up") == "made up"
        assert reason_text(None) == "no reason given"
        assert state_text("not_assessed") == "not assessed"

    def test_it_says_unknown_where_nothing_was_measured(self) -> None:
        assert cost_text(None) == "unknown"
        assert tokens_text(None) == "unknown"
        assert cost_text(0.00042) == "$0.00042"
        assert cost_text(1.5) == "$1.50"
