"""The pure parts of the console's components."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes_sdk.models import EvidenceSpan, IncidentDetail
from ui.components.exchange_view import document_text, mark_spans
from ui.components.incident_story import body_facts, group_text, story, values_text
from ui.components.tables import selected_row
from ui.components.trace_table import shade


def evidence(*pairs: tuple[int, int]) -> list[EvidenceSpan]:
    return [EvidenceSpan(start=start, end=end, value=0.9) for start, end in pairs]


class TestMarkSpans:
    def test_it_brackets_and_numbers_passages(self) -> None:
        assert mark_spans("one two three", evidence((0, 3), (8, 13))) == "⟦1 one⟧ two ⟦2 three⟧"

    def test_it_counts_characters_not_bytes(self) -> None:
        assert mark_spans("🙂 ja", evidence((2, 4))) == "🙂 ⟦1 ja⟧"

    @pytest.mark.parametrize("pair", [(0, 99), (-1, 2), (3, 3), (4, 2)])
    def test_it_leaves_text_alone_when_offsets_make_no_sense(self, pair: tuple[int, int]) -> None:
        assert mark_spans("text", evidence(pair)) == "text"

    @given(
        st.text(alphabet="ab ", max_size=20), st.lists(st.tuples(st.integers(-3, 25), st.integers(-3, 25)), max_size=4)
    )
    def test_it_never_loses_a_character(self, text: str, pairs: list[tuple[int, int]]) -> None:
        marked = mark_spans(text, evidence(*sorted(pairs)))
        for number in range(1, 6):
            marked = marked.replace(f"⟦{number} ", "")
        assert marked.replace("⟧", "") == text


class TestDocumentText:
    @pytest.mark.parametrize(
        ("document", "text"),
        [
            ("plain", "plain"),
            ({"id": "1", "content": "inside"}, "inside"),
            ({"text": "inside"}, "inside"),
            ({"score": 1}, {"score": 1}),
            ({"content": {"nested": True}}, {"content": {"nested": True}}),
        ],
    )
    def test_it_finds_the_text_in_any_shape(self, document: object, text: object) -> None:
        assert document_text(document) == text


class TestSelectedRow:
    @pytest.mark.parametrize(
        ("state", "row"),
        [
            ({"selection": {"cells": [(2, "Service")]}}, 2),
            ({"selection": {"cells": []}}, None),
            ({"selection": {}}, None),
            ({"selection": {"cells": [(9, "Service")]}}, None),
            (None, None),
        ],
    )
    def test_it_points_at_a_row_that_exists(self, state: object, row: int | None) -> None:
        assert selected_row(state, 3) == row


class TestShade:
    def test_it_grows_with_the_score_and_leaves_words_alone(self) -> None:
        assert shade("not assessed") == ""
        assert shade("0.00") == ""
        assert shade("0.50") < shade("0.93")
        assert shade("nan") == ""


class TestStory:
    def test_it_writes_groups_and_values_in_words(self) -> None:
        assert group_text({"service": "bot", "deployment": "v7"}) == "deployment v7, service bot"
        assert group_text({}) == "the whole scope"
        assert values_text({"n": 74.0, "rate": 0.7162162162162162, "gone": None}) == (
            "gone was no data, n was 74, rate was 0.7162"
        )

    def test_it_writes_out_one_level_of_a_body(self) -> None:
        assert body_facts({"from": "no_data", "values": {"n": 3.0}, "message_id": "m"}) == {
            "From": "No data", "Values": "n 3",
        }  # fmt: skip


class TestMonitorStory:
    def test_an_incident_that_a_monitor_opened_tells_what_the_monitor_found(self) -> None:
        incident = IncidentDetail(
            id="i", policy_id="fairness-monitor", policy_version="builtin", title="t", severity="high", state="new",
            summary="bot: group:de is refused more often.", opened_at=datetime(2026, 11, 21, tzinfo=UTC), group={},
        )  # fmt: skip
        assert story(incident) == (
            "bot: group:de is refused more often. It is still open. No webhook was configured for it."
        )
