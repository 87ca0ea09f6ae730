"""Handing an event to the log from business code."""

from __future__ import annotations

from typing import Any

from policies.audit.intake import append_event
from policies.audit.reading import list_entries
from policies.audit.store import LeafFilter

Bench = Any


def test_it_becomes_a_leaf_that_says_who_did_what(bench: Bench) -> None:
    bench.log.verify_state()
    with bench.database.write() as tx:
        intake_id = append_event(
            tx,
            action="key.created",
            actor="user/u-1",
            role="admin",
            object="key/k-1",
            data={"n": 1},
            at_ns=bench.now_ns,
            project="default",
        )
    assert bench.log.flush_until(intake_id).seq == 0
    with bench.database.read() as tx:
        (leaf,) = list_entries(tx, LeafFilter())
    assert (leaf.intake_id, leaf.action, leaf.actor, leaf.object) == (intake_id, "key.created", "user/u-1", "key/k-1")
    assert (leaf.project, leaf.at_ns) == ("default", bench.now_ns)
