from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest
from sqlalchemy import select

from custodes.db import Database
from custodes.db.tables import audit_intake
from custodes.kernel.errors import ConflictError, InvalidInputError, NotFoundError
from policies.actors import Actor
from policies.approval_store import Verdict, list_approvals
from policies.conduct import STRICT, Conduct, Review
from policies.errors import PolicyError
from policies.evaluate import Evaluator
from policies.incident_store import list_incidents
from policies.lifecycle import (
    BREAK_GLASS_NS,
    PolicyChange,
    activate_policy,
    attach_backtest,
    judge_policy,
    list_policies,
    retire_policy,
    submit_policy,
)
from policies.store import find_policy_version

ALICE, BOB, CAROL = Actor("alice", "author"), Actor("bob", "approver"), Actor("carol", "approver")
CONDUCT = Conduct("http://console.example")


def submit(database: Database, text: str, now_ns: int = 1) -> PolicyChange:
    return submit_policy(database, project_id="default", text=text, filename="p.yaml", actor=ALICE, now_ns=now_ns)


def backtest(database: Database, version: str, now_ns: int = 2) -> PolicyChange:
    return attach_backtest(
        database, project_id="default", policy_id="toxicity-spike", version=version, from_ns=0, to_ns=1,
        report={"firing": 0}, actor=ALICE, now_ns=now_ns,
    )  # fmt: skip


def judge(
    database: Database,
    version: str,
    actor: Actor = BOB,
    verdict: Verdict = "approved",
    now_ns: int = 2,
    review: Review = STRICT,
    comment: str = "because it is needed",
) -> PolicyChange:
    return judge_policy(
        database, project_id="default", policy_id="toxicity-spike", version=version, verdict=verdict,
        comment=comment, actor=actor, now_ns=now_ns, conduct=CONDUCT, review=review,
    )  # fmt: skip


def activate(database: Database, version: str, now_ns: int = 2) -> PolicyChange:
    """Take a version through what it still lacks, and activate it."""
    with database.read() as tx:
        found = find_policy_version(tx, "default", "toxicity-spike", version)
    if found is not None and found.state == "draft":
        backtest(database, version, now_ns)
        judge(database, version, now_ns=now_ns)
    return activate_policy(
        database,
        project_id="default",
        policy_id="toxicity-spike",
        version=version,
        actor=BOB,
        now_ns=now_ns,
        conduct=CONDUCT,
    )


def retire(database: Database) -> PolicyChange:
    return retire_policy(
        database, project_id="default", policy_id="toxicity-spike", actor=BOB, now_ns=3, conduct=CONDUCT
    )


def audited(database: Database) -> list[tuple[str, str, str]]:
    with database.read() as tx:
        rows = tx.execute(select(audit_intake.c.body).order_by(audit_intake.c.id))
        events = [orjson.loads(row.body) for row in rows]
    return [(event["action"], event["actor"], event["object"]) for event in events]


class TestSubmitPolicy:
    def test_stores_a_draft_and_an_audit_event(self, database: Database, policy_text: str) -> None:
        change = submit(database, policy_text)
        assert (change.version.state, change.version.author) == ("draft", "alice")
        assert list_policies(database, "default") == [change.version]
        assert change.intake_id is not None
        assert audited(database) == [("policy.submitted", "alice", "policy/toxicity-spike")]

    def test_changes_nothing_for_the_same_document(self, database: Database, policy_text: str) -> None:
        first = submit(database, policy_text)
        again = submit(database, "# only a comment\n" + policy_text, now_ns=9)
        assert (again.version, again.intake_id) == (first.version, None)

    @pytest.mark.parametrize(
        ("old", "new"),
        [("severity: high", "severity: hihg"), ("at: 10m, state: firing", "at: 10m, state: ok"), ("n >= 50.0", "n")],
    )
    def test_refuses_a_policy_that_fails_lint_or_its_tests(
        self, database: Database, change: Callable[..., str], old: str, new: str
    ) -> None:
        with pytest.raises(PolicyError):
            submit(database, change((old, new)))
        assert list_policies(database, "default") == []
        assert audited(database) == []


class TestActivatePolicy:
    def test_retires_the_version_before_it(self, database: Database, change: Callable[..., str]) -> None:
        first = submit(database, change()).version.version
        second = submit(database, change(("keep_firing_for: 10m", "keep_firing_for: 9m")), now_ns=2).version.version
        activate(database, first, now_ns=3)
        activate(database, second, now_ns=4)
        states = [
            (one.version, one.state, one.activated_ns, one.retired_ns) for one in list_policies(database, "default")
        ]
        assert states == [(first, "retired", 3, 4), (second, "active", 4, None)]
        assert [event[:2] for event in audited(database)] == [
            ("policy.submitted", "alice"),
            ("policy.submitted", "alice"),
            ("policy.backtested", "alice"),
            ("policy.approved", "bob"),
            ("policy.activated", "bob"),
            ("policy.backtested", "alice"),
            ("policy.approved", "bob"),
            ("policy.retired", "bob"),
            ("policy.activated", "bob"),
        ]

    def test_can_go_back_to_an_older_version(self, database: Database, change: Callable[..., str]) -> None:
        first = submit(database, change()).version.version
        second = submit(database, change(("keep_firing_for: 10m", "keep_firing_for: 9m"))).version.version
        for now_ns, version in enumerate([first, second, first], 3):
            assert activate(database, version, now_ns=now_ns).version.state == "active"
        active = [one.version for one in list_policies(database, "default") if one.state == "active"]
        assert active == [first]

    def test_changes_nothing_when_already_active(self, database: Database, policy_text: str) -> None:
        version = submit(database, policy_text).version.version
        activate(database, version)
        assert activate(database, version, now_ns=9).intake_id is None

    def test_refuses_an_unknown_version(self, database: Database) -> None:
        with pytest.raises(NotFoundError, match="sha256:0"):
            activate(database, "sha256:0")


class TestRetirePolicy:
    def test_refuses_when_nothing_is_active(self, database: Database, policy_text: str) -> None:
        submit(database, policy_text)
        with pytest.raises(ConflictError, match="no active version"):
            retire(database)

    def test_refuses_a_policy_that_does_not_exist(self, database: Database) -> None:
        with pytest.raises(NotFoundError, match="toxicity-spike"):
            retire(database)


class TestReview:
    def test_a_backtest_takes_a_draft_into_shadow(self, database: Database, policy_text: str) -> None:
        version = submit(database, policy_text).version.version
        change = backtest(database, version, now_ns=7)
        assert (change.version.state, change.version.shadow_ns, change.version.revision) == ("shadow", 7, 2)
        again = backtest(database, version, now_ns=8)
        assert (again.version.state, again.version.shadow_ns) == ("shadow", 7)
        assert again.version.backtest_id != change.version.backtest_id

    def test_nobody_approves_what_they_wrote(self, database: Database, policy_text: str) -> None:
        version = submit(database, policy_text).version.version
        backtest(database, version)
        with pytest.raises(ConflictError, match="alice wrote this version"):
            judge(database, version, ALICE)
        with pytest.raises(ConflictError, match="alice wrote this version"):
            judge(database, version, ALICE, "break_glass")
        relaxed = judge(database, version, ALICE, review=Review(four_eyes=False))
        assert relaxed.version.state == "approved"
        with database.read() as tx:
            assert [(one.approver, one.waived) for one in list_approvals(tx, "default")] == [("alice", True)]

    def test_shadow_takes_its_time(self, database: Database, policy_text: str) -> None:
        version = submit(database, policy_text).version.version
        backtest(database, version, now_ns=10)
        review = Review(min_shadow_ns=100)
        with pytest.raises(ConflictError, match="has to run in shadow until"):
            judge(database, version, now_ns=109, review=review)
        assert judge(database, version, now_ns=110, review=review).version.state == "approved"

    def test_an_automatic_action_needs_two_people(self, database: Database, change: Callable[..., str]) -> None:
        version = submit(database, change(("mode: propose", "mode: auto"))).version.version
        backtest(database, version)
        assert judge(database, version, BOB).version.state == "shadow"
        with pytest.raises(ConflictError, match="given a verdict already"):
            judge(database, version, BOB)
        assert judge(database, version, CAROL).version.state == "approved"

    def test_a_rejection_needs_a_reason_and_ends_the_version(self, database: Database, policy_text: str) -> None:
        version = submit(database, policy_text).version.version
        with pytest.raises(InvalidInputError, match="say why"):
            judge(database, version, verdict="rejected", comment="no")
        assert judge(database, version, verdict="rejected").version.state == "rejected"
        with pytest.raises(ConflictError):
            backtest(database, version)

    def test_an_unknown_version_is_not_found(self, database: Database) -> None:
        with pytest.raises(NotFoundError):
            judge(database, "sha256:0")
        with pytest.raises(NotFoundError):
            backtest(database, "sha256:0")


class TestBreakGlass:
    def test_ends_after_a_day_and_brings_the_version_before_back(
        self, database: Database, change: Callable[..., str]
    ) -> None:
        before = submit(database, change()).version.version
        activate(database, before)
        urgent = submit(database, change(("n >= 50.0", "n >= 5.0"))).version.version
        broken = judge(database, urgent, verdict="break_glass", now_ns=1_000).version
        assert (broken.state, broken.expires_ns, broken.replaces) == ("active", 1_000 + BREAK_GLASS_NS, before)
        evaluator = Evaluator(database, CONDUCT)
        evaluator.tick(1_000 + BREAK_GLASS_NS - 1)
        assert states(database) == {before: "retired", urgent: "active"}
        evaluator.tick(1_000 + BREAK_GLASS_NS)
        assert states(database) == {before: "active", urgent: "retired"}
        assert [event[:2] for event in audited(database)][-2:] == [
            ("policy.expired", "policy-engine"),
            ("policy.activated", "policy-engine"),
        ]

    def test_is_ratified_by_somebody_else(self, database: Database, policy_text: str) -> None:
        version = submit(database, policy_text).version.version
        judge(database, version, verdict="break_glass")
        with pytest.raises(ConflictError, match="given a verdict already"):
            judge(database, version)
        assert judge(database, version, CAROL).version.expires_ns is None
        Evaluator(database, CONDUCT).tick(BREAK_GLASS_NS * 2)
        assert states(database) == {version: "active"}

    def test_leaves_a_version_alone_that_was_activated_meanwhile(
        self, database: Database, change: Callable[..., str]
    ) -> None:
        urgent = submit(database, change()).version.version
        judge(database, urgent, verdict="break_glass")
        later = submit(database, change(("n >= 50.0", "n >= 5.0"))).version.version
        activate(database, later, now_ns=9)
        Evaluator(database, CONDUCT).tick(BREAK_GLASS_NS * 2)
        assert states(database) == {urgent: "retired", later: "active"}


class TestShadow:
    def test_decides_on_record_and_does_nothing_else(
        self, database: Database, policy_text: str, traffic: Callable[..., None]
    ) -> None:
        from custodes.kernel.clock import MINUTE_NS
        from policies.decision_store import list_decisions

        start = 29_000_000
        version = submit(database, policy_text, now_ns=start * MINUTE_NS).version.version
        backtest(database, version, now_ns=start * MINUTE_NS)
        evaluator = Evaluator(database, CONDUCT)
        for minute in range(start, start + 8):
            traffic(minute, "toxicity", [0.95] * 60)
            evaluator.tick((minute + 1) * MINUTE_NS)
        with database.read() as tx:
            decisions = list_decisions(tx, "default")
            assert [(one.to_state, one.mode) for one in decisions] == [("firing", "shadow"), ("pending", "shadow")]
            assert {intent["kind"] for intent in decisions[0].intents} == {"open_incident", "notify", "propose_action"}
            assert list_incidents(tx, "default") == []
        judge(database, version, now_ns=(start + 8) * MINUTE_NS)
        activate(database, version, now_ns=(start + 8) * MINUTE_NS)
        # Fresh state: what shadow saw does not count as held.
        for minute in range(start + 8, start + 14):
            traffic(minute, "toxicity", [0.95] * 60)
            evaluator.tick((minute + 1) * MINUTE_NS)
        with database.read() as tx:
            (incident,) = list_incidents(tx, "default")
        assert incident.opened_ns == (start + 14) * MINUTE_NS


def states(database: Database) -> dict[str, str]:
    return {one.version: one.state for one in list_policies(database, "default")}
