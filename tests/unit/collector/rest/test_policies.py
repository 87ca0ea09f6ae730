"""``/policies``: submitted by one role, activated by another, every change in the signed log before the answer."""

from __future__ import annotations

from typing import Any

import pytest

from collector.app import build_app
from policies.audit.reading import list_entries
from policies.audit.store import LeafFilter

SOURCE = """
apiVersion: custodes/v1
kind: Policy
id: tox
owner: a@example.org
severity: high
scope: {service: bot}
signals: {t: {metric: toxicity, agg: p95, window: 5m, min_n: 20}}
when: "t > 0.8"
tests:
  - {name: fires, step: 1m, series: {t: "0.9"}, expect: [{at: 0m, state: firing}]}
"""
YAML = {"content-type": "application/yaml"}


def submit(server: Any, source: str = SOURCE) -> Any:
    return server.client("author").post("/api/v1/policies", content=source, headers=YAML)


def actions(server: Any) -> list[str]:
    with server.database.read() as tx:
        return [leaf.action for leaf in list_entries(tx, LeafFilter()) if leaf.action.startswith("policy.")]


def post(client: Any, path: str, body: Any = None, **headers: str) -> Any:
    return client.post(f"/api/v1/policies/{path}", json={} if body is None else body, headers=headers)


def review(server: Any, version: str, policy_id: str = "tox") -> None:
    """Take a draft through back-test and approval."""
    path = f"{policy_id}/versions/{version}"
    assert post(server.client("author"), f"{path}/backtest").status_code == 201
    approved = post(server.client("approver"), f"{path}/approve", {"comment": "fine"})
    assert (approved.status_code, approved.json()["state"]) == (200, "approved")


class TestLife:
    def test_a_draft_is_backtested_approved_by_somebody_else_activated_and_retired(self, server: Any) -> None:
        draft = submit(server)
        assert draft.status_code == 201, draft.text
        found = draft.json()
        assert (found["id"], found["state"], found["findings"], found["kind"]) == ("tox", "draft", [], "Policy")
        assert (found["severity"], found["scope"], found["owner"]) == ("high", {"service": "bot"}, "a@example.org")
        path = f"tox/versions/{found['version']}"
        approver = server.client("approver")
        assert post(approver, f"{path}/approve").status_code == 409
        refused = post(approver, f"{path}/activate")
        assert (refused.status_code, "back-test" in refused.json()["detail"]) == (409, True)

        tested = post(server.client("author"), f"{path}/backtest", {"from": "now-1h"}).json()
        assert (tested["state"], tested["report"]["minutes"]) == ("shadow", 60)
        attached = approver.get(f"/api/v1/policies/{path}/backtest").json()
        assert (attached["id"], attached["report"]) == (tested["backtest_id"], tested["report"])
        assert post(server.client("operator"), f"{path}/activate").status_code == 409

        approved = post(approver, f"{path}/approve", {"comment": "looks right"}).json()
        assert approved["state"] == "approved"
        active = post(server.client("operator"), f"{path}/activate").json()
        assert (active["state"], active["version"]) == ("active", found["version"])
        assert active["audit"]["seq"] < active["audit"]["checkpoint_size"]
        assert post(approver, f"{path}/activate").json()["audit"] is None
        assert post(approver, "tox/retire").json()["state"] == "retired"
        assert post(approver, "tox/retire").status_code == 409
        # Going back to a version that passed review needs no second one.
        assert post(approver, f"{path}/activate").json()["state"] == "active"
        assert actions(server) == [
            "policy.submitted",
            "policy.backtested",
            "policy.approved",
            "policy.activated",
            "policy.retired",
            "policy.activated",
        ]

    def test_the_same_file_twice_is_one_version(self, server: Any) -> None:
        first, second = submit(server), submit(server)
        assert (first.status_code, second.status_code) == (201, 200)
        assert second.json()["audit"] is None
        assert len(server.client("viewer").get("/api/v1/policies/tox").json()["versions"]) == 1

    def test_reading_shows_the_active_version_before_a_newer_draft(self, server: Any) -> None:
        first = submit(server).json()
        review(server, first["version"])
        post(server.client("operator"), f"tox/versions/{first['version']}/activate")
        server.now_ns += 1
        newer = submit(server, SOURCE.replace("0.8", "0.7")).json()
        viewer = server.client("viewer")
        rows = viewer.get("/api/v1/policies").json()["rows"]
        shown = [(row["id"], row["version"], row["state"], row["in_review"]) for row in rows]
        assert shown == [("tox", first["version"], "active", 1)]
        found = viewer.get("/api/v1/policies/tox").json()
        assert found["source"] == SOURCE
        assert [one["version"] for one in found["versions"]] == [newer["version"], first["version"]]
        diff = viewer.get(f"/api/v1/policies/tox/versions/{newer['version']}/diff").json()
        change = {"field": "when", "change": "changed", "before": "t > 0.8", "after": "t > 0.7"}
        assert diff["changes"] == [change]

    def test_a_version_says_what_it_still_needs(self, server: Any) -> None:
        draft = submit(server).json()
        path = f"/api/v1/policies/tox/versions/{draft['version']}"
        found = server.client("viewer").get(path)
        assert found.headers["etag"] == '"1"'
        assert (found.json()["approvals"], found.json()["approvals_needed"]) == ([], 1)
        assert "back-test" in found.json()["missing"]
        review(server, draft["version"])
        found = server.client("viewer").get(path).json()
        assert [(one["verdict"], one["comment"]) for one in found["approvals"]] == [("approved", "fine")]
        assert found["missing"] is None

    def test_an_action_that_may_act_by_itself_needs_two_people(self, server: Any) -> None:
        automatic = 'actions: [{kind: pause, mode: auto}]\nwhen: "t > 0.8"'
        draft = submit(server, SOURCE.replace('when: "t > 0.8"', automatic)).json()
        path = f"tox/versions/{draft['version']}"
        post(server.client("author"), f"{path}/backtest")
        one = server.client("approver")
        assert post(one, f"{path}/approve").json()["state"] == "shadow"
        assert post(one, f"{path}/approve").status_code == 409
        assert post(server.client("approver"), f"{path}/approve").json()["state"] == "approved"

    def test_break_glass_skips_review_and_is_ratified_by_somebody_else(self, server: Any) -> None:
        draft = submit(server).json()
        path = f"tox/versions/{draft['version']}"
        first = server.client("approver")
        assert post(first, f"{path}/break-glass", {"comment": "now"}).status_code == 400
        active = post(first, f"{path}/break-glass", {"comment": "it insults everybody right now"}).json()
        assert active["state"] == "active"
        assert active["expires_at"] is not None
        assert post(first, f"{path}/approve").status_code == 409
        ratified = post(server.client("approver"), f"{path}/approve", {"comment": "yes"}).json()
        assert (ratified["state"], ratified["expires_at"]) == ("active", None)
        assert actions(server)[1:] == ["policy.break_glass", "policy.ratified"]

    def test_a_rejected_version_ends(self, server: Any) -> None:
        draft = submit(server).json()
        path = f"tox/versions/{draft['version']}"
        rejected = post(server.client("approver"), f"{path}/reject", {"comment": "the line is too low"}).json()
        assert rejected["state"] == "rejected"
        assert post(server.client("author"), f"{path}/backtest").status_code == 409

    def test_dev_needs_nobody_else_and_says_so_on_record(self, local_server: Any) -> None:
        dev = local_server.dev_client()
        draft = dev.post("/api/v1/policies", content=SOURCE, headers=YAML).json()
        assert post(dev, f"tox/versions/{draft['version']}/activate").json()["state"] == "active"
        with local_server.database.read() as tx:
            (leaf,) = [one for one in list_entries(tx, LeafFilter()) if one.action == "policy.activated"]
        assert b'"waived":true' in leaf.body

    def test_a_file_is_tried_without_being_stored(self, server: Any) -> None:
        tried = server.client("author").post("/api/v1/policies/backtest?from=now-2h", content=SOURCE, headers=YAML)
        assert (tried.status_code, tried.json()["minutes"]) == (200, 120)
        assert server.client("viewer").get("/api/v1/policies").json()["rows"] == []

    def test_the_tally_proves_that_a_policy_was_evaluated(self, server: Any) -> None:
        from policies.store import Tally, add_tallies

        draft = submit(server).json()
        hour = server.now_ns // 3_600_000_000_000
        with server.database.write() as tx:
            for minute in (3, 4):
                add_tallies(tx, [Tally("default", "tox", draft["version"], hour, 1 << minute, 5, 1, 0, 1)])
        (row,) = server.client("auditor").get("/api/v1/policies/tox/tally").json()["rows"]
        assert {name: row[name] for name in ("minutes", "evaluations", "no_data", "errors", "firings")} == {
            "minutes": 2, "evaluations": 10, "no_data": 2, "errors": 0, "firings": 2,
        }  # fmt: skip


class TestFourEyes:
    def test_an_author_with_an_approver_key_of_the_same_name_is_refused_by_the_database_too(self, server: Any) -> None:
        from sqlalchemy import insert

        from custodes.db.tables import approval
        from custodes.kernel.errors import ConflictError

        row = {
            "id": "1", "project_id": "default", "kind": "policy", "subject": "s", "requested_by": "ann",
            "approver": "ann", "verdict": "approved", "comment": "", "at_ns": 0,
        }  # fmt: skip
        with pytest.raises(ConflictError), server.database.write() as tx:
            tx.execute(insert(approval).values(**row))
        with server.database.write() as tx:
            tx.execute(insert(approval).values(**row, waived=True))

    @pytest.mark.parametrize("role", ["admin", "author", "operator", "viewer", "auditor", "analyst"])
    def test_only_approvers_approve(self, local_server: Any, role: Any) -> None:
        draft = submit(local_server).json()
        answer = post(local_server.client(role), f"tox/versions/{draft['version']}/approve")
        assert answer.status_code == 403
        assert answer.json()["needed"] == ["approver"]


class TestRepetition:
    def test_a_stale_revision_changes_nothing(self, server: Any) -> None:
        draft = submit(server)
        assert draft.headers["etag"] == '"1"'
        path = f"tox/versions/{draft.json()['version']}"
        post(server.client("author"), f"{path}/backtest")
        approver = server.client("approver")
        refused = post(approver, f"{path}/approve", **{"if-match": '"1"'})
        assert (refused.status_code, refused.json()["type"]) == (412, "urn:custodes:problem:changed")
        assert post(approver, f"{path}/approve", **{"if-match": '"2"'}).headers["etag"] == '"3"'
        assert post(approver, f"{path}/activate", **{"if-match": "nonsense"}).status_code == 400

    def test_a_repeated_request_is_answered_alike_and_done_once(self, server: Any) -> None:
        author = server.client("author")
        headers = {**YAML, "idempotency-key": "a-1"}
        first = author.post("/api/v1/policies", content=SOURCE, headers=headers)
        second = author.post("/api/v1/policies", content=SOURCE, headers=headers)
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.json() == second.json()
        assert second.headers["idempotency-replayed"] == "true"
        assert second.headers["etag"] == first.headers["etag"]
        assert actions(server) == ["policy.submitted"]

    def test_a_key_belongs_to_one_request_of_one_caller(self, server: Any) -> None:
        author = server.client("author")
        headers = {**YAML, "idempotency-key": "a-1"}
        author.post("/api/v1/policies", content=SOURCE, headers=headers)
        other = author.post("/api/v1/policies", content=SOURCE.replace("0.8", "0.7"), headers=headers)
        assert (other.status_code, "another request" in other.json()["detail"]) == (409, True)
        assert server.client("author").post("/api/v1/policies", content=SOURCE, headers=headers).status_code == 200
        long = author.post("/api/v1/policies", content=SOURCE, headers={**YAML, "idempotency-key": "x" * 129})
        assert long.status_code == 400

    def test_a_refused_request_may_be_repeated_under_its_key(self, server: Any) -> None:
        author = server.client("author")
        headers = {**YAML, "idempotency-key": "a-1"}
        assert author.post("/api/v1/policies", content="kind: nonsense", headers=headers).status_code == 422
        assert author.post("/api/v1/policies", content=SOURCE, headers=headers).status_code == 201


class TestReadOnly:
    def test_files_come_from_a_repository_only(self, local_server: Any) -> None:
        key = local_server.key("author")
        name = f"key:{key.split('_')[2]}"
        policy = local_server.settings.policy.model_copy(update={"read_only": True, "gitops_actors": (name,)})
        app = build_app(local_server.services(settings=local_server.settings.model_copy(update={"policy": policy})))
        stranger = local_server.client("author", app=app)
        origin = "?repository=https://git.example/p&commit=0123abcd&path=a.yaml"
        for client, query in ((stranger, ""), (stranger, origin)):
            refused = client.post(f"/api/v1/policies{query}", content=SOURCE, headers=YAML)
            assert (refused.status_code, "read-only" in refused.json()["detail"]) == (409, True)
        stranger.headers["authorization"] = f"Bearer {key}"
        assert stranger.post("/api/v1/policies", content=SOURCE, headers=YAML).status_code == 409
        taken = stranger.post(f"/api/v1/policies{origin}", content=SOURCE, headers=YAML)
        assert taken.status_code == 201, taken.text
        assert taken.json()["origin"] == {
            "repository": "https://git.example/p", "commit": "0123abcd", "path": "a.yaml",
        }  # fmt: skip
        assert stranger.post("/api/v1/policies?commit=0123abcd", content=SOURCE, headers=YAML).status_code == 400


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "field"),
        [
            (("severity: high", "severity: hgih"), "severity"),
            (("t > 0.8", "tt > 0.8"), "when"),
            (("0.9", "0.1"), "tests"),
        ],
    )
    def test_a_file_with_errors_is_422_with_findings(self, server: Any, change: tuple[str, str], field: str) -> None:
        answer = submit(server, SOURCE.replace(*change))
        assert answer.status_code == 422
        problem = answer.json()
        assert problem["type"] == "urn:custodes:problem:invalid-policy"
        assert field in {finding["field"].split(".")[0] for finding in problem["findings"]}
        assert all(finding["line"] >= 1 and finding["message"] for finding in problem["findings"])
        assert server.client("viewer").get("/api/v1/policies").json()["rows"] == []

    @pytest.mark.parametrize(
        ("content", "headers", "status"),
        [
            (SOURCE.encode(), {"content-type": "application/json"}, 415),
            (SOURCE.encode(), {}, 415),
            (b"\xff\xfe", YAML, 400),
            (b"", YAML, 422),
            (b"a: " + b"x" * (1024 * 1024), YAML, 413),
        ],
    )
    def test_what_is_no_policy_file_is_refused(
        self, local_server: Any, content: bytes, headers: dict[str, str], status: int
    ) -> None:
        answer = local_server.client("author").post("/api/v1/policies", content=content, headers=headers)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        slugs = {400: "malformed", 413: "too-large", 415: "unsupported", 422: "invalid-policy"}
        assert answer.json()["type"] == f"urn:custodes:problem:{slugs[status]}"

    def test_an_unknown_policy_or_version_is_404(self, local_server: Any) -> None:
        assert local_server.client("viewer").get("/api/v1/policies/nope").status_code == 404
        approver = local_server.client("approver")
        assert approver.post("/api/v1/policies/nope/versions/sha256:1/activate").status_code == 404

    def test_nothing_changes_while_the_log_is_down(self, local_server: Any) -> None:
        class Down:
            def flush(self) -> None:
                from policies.audit.errors import LogStateError

                raise LogStateError("forked")

        app = build_app(local_server.services(audit=Down()))
        client = local_server.client("author", app=app)
        assert client.post("/api/v1/policies", content=SOURCE, headers=YAML).status_code == 503
        assert local_server.client("viewer").get("/api/v1/policies").json()["rows"] == []
