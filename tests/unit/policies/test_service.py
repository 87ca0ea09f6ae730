from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest
from sqlalchemy import select

from custodes.db import Database
from custodes.db.tables import audit_intake
from custodes.kernel.errors import ConflictError, NotFoundError
from policies.errors import EndpointError, PolicyError
from policies.service import (
    Actor,
    EndpointChange,
    PolicyChange,
    activate_policy,
    list_policies,
    list_project_endpoints,
    put_endpoint,
    retire_policy,
    submit_policy,
)

ALICE, BOB = Actor("alice", "author"), Actor("bob", "approver")
CONSOLE = "http://console.example"


def submit(database: Database, text: str, now_ns: int = 1) -> PolicyChange:
    return submit_policy(database, project_id="default", text=text, filename="p.yaml", actor=ALICE, now_ns=now_ns)


def activate(database: Database, version: str, now_ns: int = 2) -> PolicyChange:
    return activate_policy(
        database,
        project_id="default",
        policy_id="toxicity-spike",
        version=version,
        actor=BOB,
        now_ns=now_ns,
        console_url=CONSOLE,
    )


def retire(database: Database) -> PolicyChange:
    return retire_policy(
        database, project_id="default", policy_id="toxicity-spike", actor=BOB, now_ns=3, console_url=CONSOLE
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
            ("policy.activated", "bob"),
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


class TestPutEndpoint:
    @staticmethod
    def put(database: Database, url: str, secret: str | None = None, name: str = "oncall") -> EndpointChange:
        return put_endpoint(
            database, project_id="default", endpoint_id=name, url=url, secret=secret, actor=ALICE, now_ns=5
        )

    def test_makes_a_secret_and_keeps_it_when_only_the_address_changes(self, database: Database) -> None:
        created = self.put(database, "https://a.example/hook").endpoint
        assert created.secret.startswith("whsec_")
        assert "whsec_" not in repr(created)
        moved = self.put(database, "https://b.example/hook").endpoint
        assert moved.secret == created.secret
        assert [one.url for one in list_project_endpoints(database, "default")] == ["https://b.example/hook"]
        assert [event[0] for event in audited(database)] == ["endpoint.created", "endpoint.changed"]

    @pytest.mark.parametrize(
        ("url", "secret", "name"),
        [
            ("ftp://a.example", None, "oncall"),
            ("https://user:pw@a.example/", None, "oncall"),
            ("https://a.example/", "secret", "oncall"),
            ("https://a.example/", "whsec_AAAA", "oncall"),
            ("https://a.example/", None, ""),
            ("https://a.example/", None, "x" * 65),
        ],
    )
    def test_refuses_unusable_values(self, database: Database, url: str, secret: str | None, name: str) -> None:
        with pytest.raises(EndpointError):
            self.put(database, url, secret, name)
        assert list_project_endpoints(database, "default") == []
