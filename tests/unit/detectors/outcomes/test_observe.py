"""What of a scored exchange a fairness monitor compares."""

from __future__ import annotations

import pytest

from detectors.model import DetectorIdentity, Exchange, Score, assessed, not_assessed
from detectors.outcomes.observe import OUTCOMES, Call, Thresholds, observe, to_caller_groups

MAKER = DetectorIdentity("test/any", "1", f"sha256:{'0' * 64}")


def score(metric: str, value: float | None) -> Score:
    return not_assessed(metric, "no_context", MAKER) if value is None else assessed(metric, value, MAKER)


class TestGroups:
    def test_it_takes_those_the_prompt_mentions(self) -> None:
        seen = observe(Exchange("1", "My wife is blind", "I see."), [])
        assert (seen.groups, seen.source) == (("disability:blind", "gender:female"), "prompt")

    def test_it_never_reads_the_response(self) -> None:
        seen = observe(Exchange("1", "Who won?", "A woman from Poland."), [])
        assert (seen.groups, seen.source) == ((), "prompt")

    def test_it_lets_the_caller_win(self) -> None:
        seen = observe(Exchange("1", "My wife is blind", "I see."), [], Call(groups=("de", "Plan:Free")))
        assert (seen.groups, seen.source) == (("group:de", "plan:free"), "caller")

    @pytest.mark.parametrize("prompt", [None, "", " \n"])
    def test_it_knows_no_group_without_a_prompt(self, prompt: str | None) -> None:
        seen = observe(Exchange("1", prompt, "Hello"), [])
        assert (seen.groups, seen.source) == ((), "unknown")

    def test_it_knows_no_group_of_half_a_prompt(self) -> None:
        assert observe(Exchange("1", "my wife", "x", incomplete="attributes_dropped"), []).source == "unknown"

    @pytest.mark.parametrize(
        ("prompt", "language"), [("Die Frau he woman", "de"), ("\u5979\u662f\u6211\u7684\u59bb\u5b50", None)]
    )
    def test_it_knows_no_group_in_languages_it_cannot_read(self, prompt: str, language: str | None) -> None:
        seen = observe(Exchange("1", prompt, "x"), [], Call(prompt_language=language))
        assert (seen.groups, seen.source) == ((), "unknown")

    def test_it_tidies_what_callers_name(self) -> None:
        assert to_caller_groups(["  DE ", "de", "", "x" * 200, ":", "a:", "tier: gold  plus"]) == (
            "group::",
            "group:a:",
            "group:de",
            "tier: gold plus",
        )
        assert len(to_caller_groups([str(n) for n in range(100)])) == 16


class TestOutcomes:
    def test_it_compares_scores_with_their_thresholds(self) -> None:
        scores = [score("refusal", 0.9), score("toxicity", 0.2), score("hallucination", 0.5), score("negative_tone", 0)]
        call = Call(finish_reasons=("stop",), latency_ms=12_000)
        seen = observe(Exchange("1", "x", "y"), scores, call).outcomes
        assert seen == {"refused": 1, "toxic": 0, "ungrounded": 1, "negative": 0, "clipped": 0, "slow": 1}
        assert set(seen) == set(OUTCOMES)

    def test_it_leaves_out_what_is_not_known(self) -> None:
        assert observe(Exchange("1", "x", "y"), [score("hallucination", None), score("refusal", None)]).outcomes == {}

    @pytest.mark.parametrize("reason", ["length", "MAX_TOKENS", "max_output_tokens", " length "])
    def test_it_calls_an_answer_clipped_that_met_a_limit(self, reason: str) -> None:
        assert observe(Exchange("1", "x", "y"), [], Call(finish_reasons=("stop", reason))).outcomes == {"clipped": 1}

    @pytest.mark.parametrize("reason", ["content_filter", "SAFETY", "refusal"])
    def test_it_counts_what_a_filter_withheld_as_refused(self, reason: str) -> None:
        seen = observe(Exchange("1", "x", ""), [score("refusal", 0.0)], Call(finish_reasons=(reason,))).outcomes
        assert seen == {"refused": 1, "clipped": 0}

    def test_it_takes_thresholds_from_the_caller(self) -> None:
        limits = Thresholds(toxic=0.1, slow_ms=5)
        seen = observe(Exchange("1", "x", "y"), [score("toxicity", 0.2)], Call(latency_ms=5), thresholds=limits)
        assert seen.outcomes == {"toxic": 1, "slow": 1}

    def test_it_cannot_be_changed(self) -> None:
        with pytest.raises(TypeError):
            observe(Exchange("1", "x", "y"), []).outcomes["toxic"] = 1  # type: ignore[index]
