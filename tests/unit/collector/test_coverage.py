"""What is said of a service's telemetry, and what to change first."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.coverage import BEHIND_NS, ServiceCoverage
from collector.remedies import (
    ANY_TEXT_REMEDY,
    DROPPED_REMEDY,
    INCOMPLETE_REMEDY,
    REFUSAL_REMEDIES,
    REJECTION_REMEDIES,
    TEXT_REMEDIES,
    UNREADABLE_REMEDY,
    USAGE_REMEDY,
)
from custodes.kernel.clock import MINUTE_NS, SECOND_NS
from custodes.kernel.settings import setting_names

DOCS = Path(__file__).parents[3] / "docs"
DIALECTS = {
    *("custodes", "openinference", "otel_genai", "openllmetry", "traceloop", "langfuse", "mlflow", "logfire"),
    *("pydantic_ai", "langsmith", "openlit", "strands", "vercel", "vercel_legacy", "semantic_kernel", "spring_ai"),
    *(
        "litellm",
        "cloudflare",
        "google_adk",
        "laminar",
        "envoy",
        "vllm",
        "livekit",
        "voltagent",
        "claude_code",
        "genkit",
    ),
}


def whole(**changes: object) -> ServiceCoverage:
    """A service with ten exchanges that miss nothing, but for ``changes``."""
    found = ServiceCoverage("bot", Counter({"otel_genai": 10}), exchanges=10, with_text=10, lags_ns=[SECOND_NS] * 10)
    for name, value in changes.items():
        setattr(found, name, value)
    return found


class TestHints:
    def test_nothing_missing_needs_no_hint(self) -> None:
        assert whole().hints() == []
        assert whole().to_json()["hint"] is None

    @pytest.mark.parametrize(
        ("changes", "remedy"),
        [
            ({"dropped": 1}, DROPPED_REMEDY),
            ({"unreadable": 1}, UNREADABLE_REMEDY),
            ({"with_text": 8, "silent": Counter({"langfuse": 2})}, TEXT_REMEDIES["langfuse"]),
            ({"with_text": 8, "silent": Counter({"generic": 2})}, ANY_TEXT_REMEDY),
            ({"incomplete": 2}, INCOMPLETE_REMEDY),
            ({"missing_usage": 2}, USAGE_REMEDY),
        ],
    )
    def test_each_defect_has_its_remedy(self, changes: dict[str, object], remedy: str) -> None:
        assert whole(**changes).hints() == [remedy]

    def test_text_is_asked_of_the_vocabularies_that_lack_it(self) -> None:
        mixed = whole(with_text=2, silent=Counter({"vllm": 5, "langsmith": 3}))
        assert mixed.hints() == [TEXT_REMEDIES["vllm"], TEXT_REMEDIES["langsmith"]]

    def test_what_explains_the_rest_comes_first(self) -> None:
        worst = whole(dropped=3, with_text=0, silent=Counter({"otel_genai": 10}), missing_usage=10)
        assert worst.hints() == [DROPPED_REMEDY, TEXT_REMEDIES["otel_genai"], USAGE_REMEDY]

    def test_a_missing_price_names_the_models_and_is_not_asked_for_without_usage(self) -> None:
        unpriced = Counter({"my-llama": 6, "gpt-x": 4})
        (hint,) = whole(unpriced=unpriced).hints()
        assert "my-llama, gpt-x" in hint
        assert "custodes price set 'my-llama'" in hint
        assert whole(missing_cost=10).hints() == []
        assert whole(unpriced=unpriced, missing_usage=10).hints() == [USAGE_REMEDY]

    def test_text_that_arrived_and_was_erased_asks_for_nothing(self) -> None:
        assert whole(with_text=0).hints() == []

    def test_a_few_exceptions_are_no_defect(self) -> None:
        assert whole(exchanges=100, with_text=91, missing_usage=10, incomplete=10, unpriced=Counter(m=10)).hints() == []


class TestClock:
    @pytest.mark.parametrize(
        ("lags", "skew_ms"),
        [
            ([], None),
            ([0], 0),
            ([BEHIND_NS - 1], 0),
            ([BEHIND_NS], -300_000),
            ([-1_500_000], 2),
            ([-10 * SECOND_NS, -9 * SECOND_NS], 10_000),
            # One call with a wrong end among many does not accuse the clock.
            ([-3600 * SECOND_NS, *[SECOND_NS] * 40], 0),
        ],
    )
    def test_it_is_judged_by_the_quickest_exchanges(self, lags: list[int], skew_ms: int | None) -> None:
        assert whole(lags_ns=lags).clock_skew_ms() == skew_ms

    @given(st.integers(-86_400, 86_400), st.lists(st.integers(0, 20_000), min_size=20, max_size=60))
    def test_it_never_says_further_ahead_than_it_is(self, ahead_s: int, delays_ms: list[int]) -> None:
        lags = [delay * 1_000_000 - ahead_s * SECOND_NS for delay in delays_ms]
        skew_ms = whole(lags_ns=lags).clock_skew_ms()
        assert skew_ms is not None
        assert skew_ms <= max(0, ahead_s * 1000)
        if ahead_s <= 0 and -ahead_s * SECOND_NS < BEHIND_NS - MINUTE_NS:
            assert skew_ms == 0


class TestRemedies:
    def test_every_dialect_has_one(self) -> None:
        assert set(TEXT_REMEDIES) >= DIALECTS

    def test_they_name_only_settings_that_exist(self) -> None:
        texts = [*TEXT_REMEDIES.values(), *REJECTION_REMEDIES.values(), *REFUSAL_REMEDIES.values()]
        named = {name for text in texts for name in re.findall(r"CUSTODES_[A-Z_]*[A-Z]", text)}
        assert named >= {"CUSTODES_INGEST__MAX_FUTURE_S"}
        assert {name for name in named if not name.startswith("CUSTODES_SDK_")} - set(setting_names()) == set()

    def test_the_page_says_the_same(self) -> None:
        page = (DOCS / "coverage.md").read_text(encoding="utf-8")
        rows = dict(re.findall(r"^\| (\w+) \| (.+) \|$", page, re.MULTILINE))
        for dialect, remedy in TEXT_REMEDIES.items():
            if dialect != "custodes":
                assert rows[dialect] == remedy

    def test_every_reason_of_the_ingest_page_has_one(self) -> None:
        page = (DOCS / "ingest.md").read_text(encoding="utf-8")
        section = page.partition("## Spans that are refused alone")[2].partition("\n## ")[0]
        reasons = {
            name for row in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
        }
        assert len(reasons) >= 8
        assert reasons - set(REJECTION_REMEDIES) == set()
