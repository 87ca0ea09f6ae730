"""The tables themselves refuse what must never happen, whatever code asks for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, insert, update

from custodes.db import Database
from custodes.db.tables import action, action_evidence
from custodes.kernel.errors import ConflictError, DatabaseError
from policies.actions.action import STEPS, Action
from policies.actions.store import Switch, insert_action, insert_evidence, put_switch, update_action
from policies.actions.traces import ENGINE
from tests.unit.policies.actions.test_gates import make_action

AGREED = {"approver": "bob", "approved_ns": 1, "snapshot_ns": 2, "evidence_digest": "e" * 64}
ALONE = {**AGREED, "approver": ENGINE.name}
WAY = {
    "proposed": [],
    "approved": ["approved"],
    "snapshot": ["approved", "snapshot"],
    "sent": ["approved", "snapshot", "sent"],
    "acknowledged": ["approved", "snapshot", "sent", "acknowledged"],
    "verifying": ["approved", "snapshot", "sent", "acknowledged", "verifying"],
    "refused": ["refused"],
    "cancelled": ["cancelled"],
    "failed": ["failed"],
    **{
        end: ["approved", "snapshot", "sent", "acknowledged", "verifying", end]
        for end in ("helped", "not_helped", "inconclusive")
    },
}


def store(database: Database, **changes: Any) -> Action:
    made = make_action(**changes)
    with database.write() as tx:
        assert insert_action(tx, made)
    return made


def set_state(database: Database, action_id: str, state: str, **changes: Any) -> None:
    with database.write() as tx:
        tx.execute(update(action).where(action.c.id == action_id).values(state=state, **changes))


def bring_to(database: Database, state: str, **changes: Any) -> Action:
    made = store(database, **changes)
    for step in WAY[state]:
        set_state(database, made.id, step, **AGREED)
    return made


def walk(database: Database, action_id: str, states: tuple[str, ...], changes: dict[str, Any]) -> None:
    for step in states:
        set_state(database, action_id, step, **changes)


class TestSteps:
    @pytest.mark.parametrize("before", sorted(WAY))
    def test_lets_only_the_steps_through_that_exist(self, database: Database, before: str) -> None:
        for number, after in enumerate(sorted(set(STEPS) - {before})):
            made = bring_to(database, before, id=f"a-{number}", idempotency_key=f"k{number}", target_key=f"t{number}")
            if after in STEPS[before]:
                set_state(database, made.id, after, **AGREED)
                continue
            with pytest.raises(ConflictError):
                set_state(database, made.id, after, **AGREED)

    def test_begins_no_action_in_the_middle(self, database: Database) -> None:
        with pytest.raises(ConflictError, match="begins as proposed or shadowed"):
            store(database, state="sent", approver="bob", approved_ns=1, snapshot_ns=1, evidence_digest="e", sent_ns=1)

    @pytest.mark.parametrize("missing", ["approver", "approved_ns", "snapshot_ns", "evidence_digest"])
    def test_sends_nothing_without_approval_and_evidence(self, database: Database, missing: str) -> None:
        made = store(database)
        left = {name: value for name, value in AGREED.items() if name != missing}
        with pytest.raises(ConflictError):
            walk(database, made.id, ("approved", "snapshot", "sent"), left)

    def test_never_lets_a_shadow_act(self, database: Database) -> None:
        made = store(database, mode="shadow", state="shadowed")
        with pytest.raises(ConflictError):
            set_state(database, made.id, "approved", **AGREED)


class TestPeople:
    def test_refuses_the_author_as_approver(self, database: Database) -> None:
        made = store(database)
        with pytest.raises(ConflictError, match="four_eyes"):
            set_state(database, made.id, "approved", approver="alice", approved_ns=1)

    @pytest.mark.parametrize(
        ("column", "value"),
        [("approver", "carol"), ("author", "carol"), ("to_version", "9"), ("mode", "auto"), ("evidence_digest", "f")],
    )
    def test_keeps_what_was_agreed_to(self, database: Database, column: str, value: str) -> None:
        made = bring_to(database, "snapshot", mode="propose")
        with pytest.raises(ConflictError, match="does not change"), database.write() as tx:
            tx.execute(update(action).where(action.c.id == made.id).values({column: value}))


class TestBlastRadius:
    def test_lets_the_engine_agree_to_what_is_small_enough(self, database: Database) -> None:
        made = store(database, traffic_share=0.5, share_cap=0.5)
        set_state(database, made.id, "approved", **ALONE)

    @pytest.mark.parametrize(
        "changes",
        [
            {"traffic_share": 0.51},
            {"traffic_share": None},
            {"share_cap": None},
            {"share_cap": 0.05},
            {"mode": "propose"},
            {"kind": "finetune"},
        ],
    )
    def test_refuses_the_engine_what_needs_a_person(self, database: Database, changes: dict[str, Any]) -> None:
        made = store(database, **changes)
        with pytest.raises(ConflictError, match="more traffic than an action may by itself"):
            set_state(database, made.id, "approved", **ALONE)
        set_state(database, made.id, "approved", **AGREED)

    @pytest.mark.parametrize("column", ["traffic_share", "share_cap"])
    @pytest.mark.parametrize("value", [0.2, None])
    def test_keeps_the_figures_that_were_agreed_to(self, database: Database, column: str, value: float | None) -> None:
        made = store(database)
        set_state(database, made.id, "approved", **ALONE)
        with pytest.raises(ConflictError, match="does not change"), database.write() as tx:
            tx.execute(update(action).where(action.c.id == made.id).values({column: value}))

    def test_judges_by_the_cap_that_is_stored_with_the_step(self, database: Database) -> None:
        made = store(database, traffic_share=0.9)
        with pytest.raises(ConflictError, match="more traffic"):
            set_state(database, made.id, "approved", **ALONE, share_cap=0.8)


class TestOneInFlight:
    def test_refuses_a_second_action_on_a_target(self, database: Database) -> None:
        bring_to(database, "verifying")
        second = store(database, id="a-2", idempotency_key="k2", project_id="other")
        with pytest.raises(ConflictError):
            set_state(database, second.id, "approved", **AGREED)

    def test_takes_one_action_for_each_episode(self, database: Database) -> None:
        store(database)
        with database.write() as tx:
            assert not insert_action(tx, make_action(id="a-2"))


class TestSwitch:
    @pytest.mark.parametrize("place", ["*", "default"])
    @pytest.mark.parametrize(
        ("before", "after"), [("proposed", "approved"), ("approved", "snapshot"), ("snapshot", "sent")]
    )
    def test_stops_every_step_towards_acting(self, database: Database, place: str, before: str, after: str) -> None:
        made = bring_to(database, before)
        with database.write() as tx:
            put_switch(tx, Switch(place, True, "drill", "carol", 1))
        with pytest.raises(ConflictError, match="actions are stopped"):
            set_state(database, made.id, after, **AGREED)
        set_state(database, made.id, "cancelled")

    def test_leaves_other_projects_alone(self, database: Database) -> None:
        made = store(database)
        with database.write() as tx:
            put_switch(tx, Switch("other", True, "drill", "carol", 1))
        set_state(database, made.id, "approved", **AGREED)

    def test_lets_what_was_sent_be_followed(self, database: Database) -> None:
        made = bring_to(database, "sent")
        with database.write() as tx:
            put_switch(tx, Switch("*", True, "drill", "carol", 1))
        set_state(database, made.id, "acknowledged")


class TestEvidence:
    def test_is_taken_once_and_kept(self, database: Database) -> None:
        made = store(database)
        with database.write() as tx:
            insert_evidence(tx, made.id, b"{}", 1)
        with pytest.raises(ConflictError), database.write() as tx:
            tx.execute(insert(action_evidence).values(action_id=made.id, at_ns=2, body=b"x"))
        for statement in (update(action_evidence).values(body=b"x"), delete(action_evidence)):
            with pytest.raises((ConflictError, DatabaseError), match="append-only"), database.write() as tx:
                tx.execute(statement)


class TestRevisions:
    def test_refuses_a_change_from_an_old_reading(self, database: Database) -> None:
        made = store(database)
        with database.write() as tx:
            update_action(tx, replace(made, revision=2, reason="first"))
        with pytest.raises(ConflictError, match="changed meanwhile"), database.write() as tx:
            update_action(tx, replace(made, revision=2, reason="second"))
