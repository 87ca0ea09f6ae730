"""The index of a leaf comes from its bytes, whatever they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.canonical import canonical_bytes
from policies.audit.event import AuditEvent, event_to_body
from policies.audit.leaf_index import UNREADABLE_ACTION, LeafIndex, index_leaf

EVENT = AuditEvent("id-1", 1_795_860_000_123_456_789, "user/u-1", "approver", "policy.activated", "policy/p", "default")
BODY = event_to_body(EVENT)
INT64 = st.integers(-(2**63), 2**63 - 1)


class TestIndexLeaf:
    def test_is_what_the_leaf_says(self) -> None:
        assert index_leaf(BODY, EVENT.at_ns) == LeafIndex(
            1_795_860_000_123_456_789, "policy.activated", "user/u-1", "policy/p", "default"
        )

    @pytest.mark.parametrize("off_ns", [-790, 211, 10**9, -(10**18)])
    def test_takes_the_leaf_s_time_when_it_is_another(self, off_ns: int) -> None:
        assert index_leaf(BODY, EVENT.at_ns + off_ns).at_ns == 1_795_860_000_123_456_000

    @pytest.mark.parametrize("off_ns", [-789, 0, 210])
    def test_keeps_what_a_leaf_cannot_say_of_the_time(self, off_ns: int) -> None:
        assert index_leaf(BODY, EVENT.at_ns + off_ns).at_ns == EVENT.at_ns + off_ns

    @pytest.mark.parametrize("time", ["yesterday", "", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-02-30T"])
    def test_keeps_the_time_it_is_given_when_the_leaf_has_none_that_fits(self, time: str) -> None:
        fields = {"id": "i", "time": time, "project": "", "actor": "a", "role": "", "action": "x", "object": "o"}
        assert index_leaf(canonical_bytes({"v": 1, **fields}), 7) == LeafIndex(7, "x", "a", "o", "")

    @pytest.mark.parametrize("body", [b"", b"not json", b"{}", b'{"v":2}', b"\xff", BODY[:-1]])
    def test_of_unreadable_bytes_says_so(self, body: bytes) -> None:
        assert index_leaf(body, 7) == LeafIndex(7, UNREADABLE_ACTION, "", "", "")

    @given(INT64, INT64)
    def test_of_its_own_answer_is_the_same_again(self, said_ns: int, at_ns: int) -> None:
        try:
            body = event_to_body(replace(EVENT, at_ns=said_ns))
        except ValueError:
            return
        first = index_leaf(body, at_ns)
        assert index_leaf(body, first.at_ns) == first

    @given(st.binary(max_size=64))
    def test_never_raises(self, body: bytes) -> None:
        assert index_leaf(body, 1).at_ns == 1
