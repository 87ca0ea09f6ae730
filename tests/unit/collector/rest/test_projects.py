"""``/projects``, and that one project's key neither sees nor changes another's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from collector.dialects.span import NormalSpan

PRICE = {"model": "gpt", "input_usd_per_mtok": 1, "output_usd_per_mtok": 2}


class TestCreate:
    def test_an_administrator_of_the_server_gets_the_first_admin_key(self, server: Any) -> None:
        answer = server.client("admin").post("/api/v1/projects", json={"id": "shop"})
        assert answer.status_code == 201
        made = answer.json()
        assert made["audit"]["seq"] < made["audit"]["checkpoint_size"]
        assert (made["admin_key"]["role"], made["admin_key"]["project"]) == ("admin", "shop")
        headers = {"x-api-key": made["admin_key"]["secret"]}
        me = server.client().get("/api/v1/me", headers=headers).json()
        assert (me["project"], me["role"]) == ("shop", "admin")

    def test_nobody_else_may(self, local_server: Any) -> None:
        stranger = local_server.client("admin", project="second")
        answer = stranger.post("/api/v1/projects", json={"id": "shop"})
        assert answer.status_code == 403
        assert "default" in answer.json()["detail"]
        assert local_server.client("viewer").post("/api/v1/projects", json={"id": "shop"}).status_code == 403
        assert local_server.dev_client().post("/api/v1/projects", json={"id": "shop"}).status_code == 201

    @pytest.mark.parametrize(("body", "status"), [({"id": "Shop"}, 400), ({"id": "default"}, 409), ({}, 400)])
    def test_a_mistake_creates_nothing(self, local_server: Any, body: dict[str, str], status: int) -> None:
        admin = local_server.client("admin")
        assert admin.post("/api/v1/projects", json=body).status_code == status
        assert [row["id"] for row in admin.get("/api/v1/projects").json()["rows"]] == ["default"]
        assert len(admin.get("/api/v1/keys").json()["rows"]) == 1


class TestList:
    def test_the_server_s_administrators_see_all_and_others_their_own(self, server: Any) -> None:
        other = server.client("admin", project="second")
        everything = server.client("admin").get("/api/v1/projects").json()["rows"]
        assert [row["id"] for row in everything] == ["default", "second"]
        assert [row["id"] for row in other.get("/api/v1/projects").json()["rows"]] == ["second"]


class TestIsolation:
    """Whatever a key of another project asks or tries, this project's rows stay unseen and as they were."""

    READS = (
        "traces",
        "ledger",
        "ledger/minutes",
        "coverage",
        "overview",
        "incidents",
        "policies",
        "timeseries?metric=exchanges&agg=count",
        "prices",
        "keys",
    )

    @pytest.mark.parametrize("path", READS)
    def test_a_stranger_reads_the_same_before_and_after_there_is_traffic(
        self, local_server: Any, chat: Callable[..., NormalSpan], path: str
    ) -> None:
        stranger = local_server.client("admin", project="second")
        owner = local_server.client("admin")
        before = stranger.get(f"/api/v1/{path}")
        assert before.status_code == 200
        self.change(local_server, owner, chat)
        assert stranger.get(f"/api/v1/{path}").text == before.text
        assert owner.get(f"/api/v1/{path}").text != before.text

    def change(self, server: Any, owner: Any, chat: Callable[..., NormalSpan]) -> None:
        server.store(chat(0))
        server.score({"toxicity": 0.4})
        server.open_incident("i1", group={"service": "bot"})
        server.add_policy("apiVersion: custodes/v1")
        assert owner.put("/api/v1/prices", json={**PRICE, "model": "secret-model"}).status_code == 200

    def test_the_same_ids_in_two_projects_are_two_traces(self, server: Any, chat: Callable[..., NormalSpan]) -> None:
        server.client("viewer", project="second")
        server.store(chat(0, prompt="mine"))
        server.store(chat(0, service="theirs"), project="second")
        mine = server.client("viewer").get(f"/api/v1/traces/{1:032x}").json()
        theirs = server.client("viewer", project="second").get(f"/api/v1/traces/{1:032x}").json()
        assert [one["service"] for one in mine["spans"]] == ["bot"]
        assert [one["service"] for one in theirs["spans"]] == ["theirs"]
        ledger = server.client("viewer", project="second").get("/api/v1/ledger").json()
        assert (ledger["received"], ledger["stored"], ledger["duplicates"]) == (1, 1, 0)

    def test_a_stranger_s_price_changes_nothing_here(self, server: Any) -> None:
        owner, stranger = server.client("admin"), server.client("operator", project="second")
        assert owner.put("/api/v1/prices", json=PRICE).status_code == 200
        assert stranger.put("/api/v1/prices", json={**PRICE, "input_usd_per_mtok": 9}).status_code == 200
        assert stranger.delete("/api/v1/prices?model=gpt").status_code == 200
        own = [row for row in owner.get("/api/v1/prices").json()["rows"] if row["origin"] == "project"]
        assert [row["input_usd_per_mtok"] for row in own] == [1.0]
