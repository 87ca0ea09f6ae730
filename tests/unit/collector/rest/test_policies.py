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
signals: {t: {metric: toxicity, agg: p95, window: 5m}}
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


class TestLife:
    def test_a_draft_becomes_active_and_retires(self, server: Any) -> None:
        draft = submit(server)
        assert draft.status_code == 201, draft.text
        found = draft.json()
        assert (found["id"], found["state"], found["findings"]) == ("tox", "draft", [])
        assert (found["severity"], found["scope"]) == ("high", {"service": "bot"})
        path = f"/api/v1/policies/tox/versions/{found['version']}/activate"
        approver = server.client("approver")
        active = approver.post(path).json()
        assert (active["state"], active["version"]) == ("active", found["version"])
        assert active["audit"]["seq"] < active["audit"]["checkpoint_size"]
        assert approver.post(path).json()["audit"] is None
        assert approver.post("/api/v1/policies/tox/retire").json()["state"] == "retired"
        assert approver.post("/api/v1/policies/tox/retire").status_code == 409
        assert actions(server) == ["policy.submitted", "policy.activated", "policy.retired"]

    def test_the_same_file_twice_is_one_version(self, server: Any) -> None:
        first, second = submit(server), submit(server)
        assert (first.status_code, second.status_code) == (201, 200)
        assert second.json()["audit"] is None
        assert len(server.client("viewer").get("/api/v1/policies/tox").json()["versions"]) == 1

    def test_reading_shows_the_active_version_before_a_newer_draft(self, server: Any) -> None:
        first = submit(server).json()
        server.client("operator").post(f"/api/v1/policies/tox/versions/{first['version']}/activate")
        server.now_ns += 1
        newer = submit(server, SOURCE.replace("0.8", "0.7")).json()
        viewer = server.client("viewer")
        rows = viewer.get("/api/v1/policies").json()["rows"]
        assert [(row["id"], row["version"], row["state"]) for row in rows] == [("tox", first["version"], "active")]
        found = viewer.get("/api/v1/policies/tox").json()
        assert found["source"] == SOURCE
        assert [one["version"] for one in found["versions"]] == [newer["version"], first["version"]]


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
