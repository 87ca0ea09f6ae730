"""The application as a whole: its routes, who may use them, and what every answer carries."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.routing import Route

from collector.app import build_app
from collector.auth import PERMISSIONS, ROLES, Role
from collector.boundary import SECURITY_HEADERS
from collector.dialects.span import NormalSpan

DOCS = Path(__file__).parents[4] / "docs"
ROW = re.compile(r"^\| (GET|POST|PUT|PATCH|DELETE) \| `([^`]+)` \| ([a-z_ ]+) \|", re.MULTILINE)
# "signature": no key opens it, only a request that the endpoint's secret has signed.
OPEN = {"none", "any key", "signature"}


def documented() -> dict[tuple[str, str], str]:
    """Return permission by (method, path) as docs/api.md says it."""
    return {(method, path): permission for method, path, permission in ROW.findall((DOCS / "api.md").read_text())}


def routes(app: FastAPI) -> set[tuple[str, str]]:
    """Return every (method, path) the application serves."""
    found = {(method.upper(), path) for path, operations in app.openapi()["paths"].items() for method in operations}
    plain = [route for route in app.routes if isinstance(route, Route)]
    return found | {(method, route.path) for route in plain for method in route.methods or () if method != "HEAD"}


def fill(path: str) -> str:
    """Return an address that exists in form, with parts nothing is stored under."""
    parts = {"trace_id": "1" * 32, "exchange_id": "1" * 48, "seq": "7", "path": "0/000", "version": "sha256:1"}
    return re.sub(r"\{(\w+)\}", lambda match: parts.get(match[1], "nothing"), path)


class TestRoutes:
    def test_they_are_exactly_the_documented_ones(self, local_server: Any) -> None:
        assert routes(local_server.app) == set(documented())

    def test_the_openapi_document_is_served_and_names_them(self, local_server: Any) -> None:
        served = local_server.client().get("/api/v1/openapi.json").json()
        assert served["openapi"].startswith("3.")
        assert "/api/v1/traces/{trace_id}" in served["paths"]
        names = {one["name"] for one in served["paths"]["/api/v1/traces"]["get"]["parameters"]}
        promised = "from to service model session user metric min max state q cursor limit"
        assert names == set(promised.split())

    def test_building_twice_gives_two_independent_applications(self, local_server: Any) -> None:
        other = build_app(local_server.services(readiness=lambda: ["no"]))
        assert local_server.client().get("/readyz").status_code == 200
        assert local_server.client(app=other).get("/readyz").status_code == 503


class TestWhoMayDoWhat:
    @pytest.mark.parametrize("role", [None, "ingester", "viewer", "admin", "analyst", "auditor"])
    def test_every_route_admits_exactly_the_roles_of_its_permission(self, local_server: Any, role: Role | None) -> None:
        client = local_server.client(role)
        for (method, path), permission in documented().items():
            status = client.request(method, fill(path)).status_code
            if permission == "none" or (permission == "any key" and role is not None):
                assert status == 200, (method, path)
            elif role is None or permission == "signature":
                assert status == 401, (method, path)
            elif role in PERMISSIONS.get(permission, ()):  # type: ignore[call-overload]
                assert status not in (401, 403), (method, path)
            else:
                assert status == 403, (method, path)

    def test_the_documented_permissions_exist(self) -> None:
        assert set(documented().values()) - OPEN == set(PERMISSIONS)

    def test_the_documented_roles_are_the_table_in_force(self) -> None:
        lines = (DOCS / "keys.md").read_text().splitlines()
        header = next(line for line in lines if line.startswith("| role |"))
        columns = [cell.strip() for cell in header.strip("|").split("|")][2:]
        assert set(columns) == set(PERMISSIONS)
        for role in ROLES:
            cells = [cell.strip() for cell in next(line for line in lines if line.startswith(f"| {role} |")).split("|")]
            held = {name for name, cell in zip(columns, cells[3:], strict=False) if cell}
            assert held == {name for name, roles in PERMISSIONS.items() if role in roles}, role

    def test_a_key_of_another_project_sees_nothing_of_this_one(
        self, local_server: Any, chat: Callable[..., NormalSpan]
    ) -> None:
        local_server.store(chat(0))
        trace_id = f"{1:032x}"
        stranger = local_server.client("viewer", project="second")
        assert stranger.get("/api/v1/traces").json()["rows"] == []
        assert stranger.get(f"/api/v1/traces/{trace_id}").status_code == 404
        assert stranger.get(f"/api/v1/exchanges/{trace_id}{1:016x}").status_code == 404
        assert stranger.get("/api/v1/ledger").json()["received"] == 0
        assert stranger.get("/api/v1/overview").json()["totals"]["traces"] == 0


class TestEveryAnswer:
    @pytest.mark.parametrize("path", ["/healthz", "/api/v1/nothing", "/api/v1/me", "/v1/traces"])
    def test_it_carries_the_security_headers_and_never_cors(self, local_server: Any, path: str) -> None:
        answer = local_server.client().get(path, headers={"origin": "https://attacker.example"})
        assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
        assert not [name for name in answer.headers if name.startswith("access-control-")]

    def test_it_is_counted_by_method_and_code(self, local_server: Any) -> None:
        client = local_server.client("viewer")
        client.get("/api/v1/traces")
        client.get("/api/v1/nothing")
        counter = local_server.metrics.http_requests
        assert counter.labels("GET", "200")._value.get() == 1
        assert counter.labels("GET", "404")._value.get() == 1

    @pytest.mark.parametrize(
        ("method", "path", "status", "slug"),
        [
            ("GET", "/nothing", 404, "not-found"),
            ("DELETE", "/api/v1/traces", 405, "method-not-allowed"),
            ("GET", "/api/v1/traces/zz", 400, "invalid-input"),
            ("GET", "/api/v1/traces?limit=501", 400, "invalid-parameter"),
            ("GET", "/api/v1/traces?servce=bot", 400, "invalid-parameter"),
            ("GET", f"/api/v1/traces/{1:032x}", 404, "not-found"),
            ("POST", "/api/v1/keys", 403, "forbidden"),
            ("GET", "/api/v1/incidents/nothing", 404, "not-found"),
        ],
    )
    def test_an_error_is_a_problem_document(
        self, local_server: Any, method: str, path: str, status: int, slug: str
    ) -> None:
        answer = local_server.client("viewer").request(method, path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert set(problem) >= {"type", "title", "status", "detail", "error_id"}
        assert (problem["type"], problem["status"]) == (f"urn:custodes:problem:{slug}", status)
        assert problem["detail"]

    def test_a_401_says_how_to_authenticate(self, local_server: Any) -> None:
        answer = local_server.client().get("/api/v1/me")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")

    def test_a_403_names_the_role_that_would_do(self, local_server: Any) -> None:
        problem = local_server.client("viewer").post(f"/api/v1/exchanges/{'1' * 48}/reveal").json()
        assert (problem["role"], problem["needed"]) == ("viewer", ["analyst"])


class TestHealth:
    def test_healthz_answers_whatever_is_wrong(self, local_server: Any) -> None:
        local_server.reasons.append("the models are still loading")
        assert local_server.client().get("/healthz").status_code == 200

    def test_readyz_says_why_not(self, local_server: Any) -> None:
        local_server.reasons.append("the models are still loading")
        answer = local_server.client().get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"ready": False, "reasons": local_server.reasons})

    def test_metrics_are_in_prometheus_form(self, local_server: Any) -> None:
        answer = local_server.client().get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "custodes_http_requests_total" in answer.text


class TestMe:
    def test_it_names_the_key_and_its_role(self, local_server: Any) -> None:
        me = local_server.client("analyst").get("/api/v1/me").json()
        assert me["actor"].startswith("key:")
        assert (me["project"], me["role"], me["roles"], me["dev"]) == ("default", "analyst", ["analyst"], False)

    def test_it_is_everybody_in_dev(self, local_server: Any) -> None:
        me = local_server.dev_client().get("/api/v1/me").json()
        assert (me["actor"], me["roles"], me["dev"]) == ("dev@loopback", list(ROLES), True)
