"""Events become leaves: the exact bytes, what is refused, and what a reader gets back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from policies.audit.errors import CanonicalError, LeafError
from policies.audit.event import MAX_CHARACTERS, AuditEvent, event_to_body
from policies.audit.leaf import RESERVED_KEYS, body_to_leaf


def change(**changes: Any) -> AuditEvent:
    """Return the event with some fields replaced."""
    return replace(EVENT, **changes)


EVENT = AuditEvent(
    id="01941f29-7c00-7000-8000-000000000001",
    at_ns=1_795_860_000_123_456_789,
    actor="user/u-1",
    role="approver",
    action="policy.activated",
    object="policy/tox-spike",
    project="default",
    data={"policy_hash": "sha256:00", "n": 3},
)


class TestEventToBody:
    def test_it_gives_canonical_bytes(self) -> None:
        assert event_to_body(EVENT) == (
            b'{"action":"policy.activated","actor":"user/u-1","id":"01941f29-7c00-7000-8000-000000000001","n":3,'
            b'"object":"policy/tox-spike","policy_hash":"sha256:00","project":"default","role":"approver",'
            b'"time":"2026-11-28T10:00:00.123456Z","v":1}'
        )

    def test_it_allows_no_project_and_no_role(self) -> None:
        leaf = body_to_leaf(event_to_body(replace(EVENT, project="", role="")))
        assert (leaf.project, leaf.role) == ("", "")

    @pytest.mark.parametrize("name", ["id", "actor", "action", "object"])
    def test_it_needs_the_fields_that_say_who_did_what(self, name: str) -> None:
        with pytest.raises(LeafError, match=name):
            event_to_body(change(**{name: ""}))

    @pytest.mark.parametrize("name", sorted(MAX_CHARACTERS))
    def test_it_refuses_a_text_longer_than_its_column(self, name: str) -> None:
        event_to_body(change(**{name: "x" * MAX_CHARACTERS[name]}))
        with pytest.raises(LeafError, match=name):
            event_to_body(change(**{name: "x" * (MAX_CHARACTERS[name] + 1)}))

    def test_it_refuses_nul_which_postgresql_cannot_store(self) -> None:
        with pytest.raises(LeafError):
            event_to_body(replace(EVENT, object="a\x00b"))

    @pytest.mark.parametrize("name", sorted(RESERVED_KEYS))
    def test_it_refuses_data_that_would_overwrite_a_fixed_field(self, name: str) -> None:
        with pytest.raises(LeafError, match=name):
            event_to_body(replace(EVENT, data={name: "forged"}))

    def test_it_refuses_an_event_too_large_for_an_entry_bundle(self) -> None:
        fits = 65_535 - len(event_to_body(replace(EVENT, data={"x": ""})))
        assert len(event_to_body(replace(EVENT, data={"x": "y" * fits}))) == 65_535
        with pytest.raises(LeafError, match="digest"):
            event_to_body(replace(EVENT, data={"x": "y" * (fits + 1)}))

    @pytest.mark.parametrize("at_ns", [2**80, -(2**80)])
    def test_it_refuses_a_time_outside_the_calendar(self, at_ns: int) -> None:
        with pytest.raises(LeafError):
            event_to_body(replace(EVENT, at_ns=at_ns))

    def test_it_refuses_numbers_that_are_not_finite(self) -> None:
        with pytest.raises(CanonicalError):
            event_to_body(replace(EVENT, data={"score": float("nan")}))


class TestBodyToLeaf:
    def test_it_gives_back_what_the_event_said(self) -> None:
        leaf = body_to_leaf(event_to_body(EVENT))
        assert (leaf.id, leaf.actor, leaf.role) == (EVENT.id, EVENT.actor, EVENT.role)
        assert (leaf.action, leaf.object, leaf.project) == (EVENT.action, EVENT.object, EVENT.project)
        assert leaf.time == "2026-11-28T10:00:00.123456Z"
        assert leaf.data == EVENT.data

    @pytest.mark.parametrize("members", [{"v": 2}, {"v": True}, {"v": None}, {"actor": 1}, {"time": None}])
    def test_it_refuses_what_is_not_a_leaf_of_this_version(self, members: dict[str, Any]) -> None:
        value = json.loads(event_to_body(EVENT))
        with pytest.raises(LeafError):
            body_to_leaf(json.dumps({**value, **members}).encode())
