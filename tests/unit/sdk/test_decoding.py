"""JSON to dataclasses: tolerant of more, strict about less, and only our error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes_sdk import UnexpectedResponse, models
from custodes_sdk.decoding import decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    name: str
    at: datetime | None = None
    ratio: float = 0.0
    inner: Inner | None = None
    rows: tuple[Inner, ...] = ()
    by_name: Mapping[str, Inner] = field(default_factory=dict)
    anything: Any = None


class TestDecode:
    def test_it_fills_nested_fields(self) -> None:
        document = {
            "name": "x", "at": "2026-11-21T10:00:00.000000Z", "ratio": 1, "inner": {"n": 1}, "rows": [{"n": 2}],
            "by_name": {"a": {"n": 3}}, "anything": [1, {"b": None}],
        }  # fmt: skip
        assert decode(Outer, document) == Outer(
            name="x",
            at=datetime(2026, 11, 21, 10, tzinfo=UTC),
            ratio=1.0,
            inner=Inner(n=1),
            rows=(Inner(n=2),),
            by_name={"a": Inner(n=3)},
            anything=[1, {"b": None}],
        )

    def test_it_drops_fields_it_does_not_know(self) -> None:
        assert decode(Inner, {"n": 1, "later": True}) == Inner(n=1)

    def test_it_takes_defaults_for_missing_fields(self) -> None:
        assert decode(Outer, {"name": "x"}) == Outer(name="x")

    @pytest.mark.parametrize(
        ("document", "path"),
        [
            ({}, "Outer.name"),
            ({"name": None}, "Outer.name: expected str, got NoneType"),
            ({"name": "x", "inner": {}}, "Outer.inner.n"),
            ({"name": "x", "rows": [{"n": 1}, {"n": "2"}]}, "Outer.rows[1].n: expected int, got str"),
            ({"name": "x", "rows": {}}, "Outer.rows: expected a list"),
            ({"name": "x", "by_name": {"a": {"n": True}}}, "Outer.by_name['a'].n: expected int, got bool"),
            ({"name": "x", "at": "yesterday"}, "Outer.at: expected an RFC 3339 time"),
            ({"name": "x", "at": 5}, "Outer.at"),
            ([], "Outer: expected an object, got list"),
            (None, "Outer: expected an object"),
        ],
    )
    def test_it_names_the_place_of_what_it_does_not_understand(self, document: object, path: str) -> None:
        with pytest.raises(UnexpectedResponse) as caught:
            decode(Outer, document)
        assert path in str(caught.value)

    def test_it_does_not_quote_values(self) -> None:
        with pytest.raises(UnexpectedResponse) as caught:
            decode(models.Exchange, {"id": "1", "span_id": "2", "prompt": ["secret words"]})
        assert "secret words" not in str(caught.value)

    @pytest.mark.parametrize("kind", [models.Overview, models.Trace, models.IncidentDetail, models.AuditEntry, Outer])
    @given(
        document=st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["now", "id", "trace_id", "seq", "name", "at", "rows", "spans"]), inner
                )
            ),
            max_leaves=8,
        )
    )
    def test_it_raises_nothing_but_our_error(self, kind: type, document: object) -> None:
        try:
            decode(kind, document)
        except UnexpectedResponse:
            return
        assert isinstance(document, dict)
