"""``/prices``: read by all, set and removed by operators and administrators, on record."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from sqlalchemy import select

from custodes.db.tables import audit_intake

PRICE = {"model": "GPT-4o", "input_usd_per_mtok": 2.25, "output_usd_per_mtok": 9, "provider": "azure"}


def own(client: Any) -> list[dict[str, Any]]:
    return [row for row in client.get("/api/v1/prices").json()["rows"] if row["origin"] == "project"]


def events(server: Any) -> list[dict[str, Any]]:
    with server.database.read() as tx:
        found = [orjson.loads(body) for body in tx.execute(select(audit_intake.c.body)).scalars()]
    return [one for one in found if one["action"] == "price.changed"]


class TestLife:
    def test_a_price_is_set_replaced_and_removed(self, server: Any) -> None:
        client = server.client("operator")
        more = {"valid_from": "2026-12-01", "source": "contract", "as_of": "2026-11-20"}
        answer = client.put("/api/v1/prices", json={**PRICE, **more, "cached_input_usd_per_mtok": 1})
        assert answer.status_code == 200
        assert answer.json() == {
            "provider": "azure",
            "model": "gpt-4o",
            "input_usd_per_mtok": 2.25,
            "output_usd_per_mtok": 9.0,
            "cached_input_usd_per_mtok": 1.0,
            "valid_from": "2026-12-01T00:00:00.000000Z",
            "source": "contract",
            "as_of": "2026-11-20",
            "origin": "project",
        }
        client.put("/api/v1/prices", json={**PRICE, **more, "input_usd_per_mtok": 3})
        assert [(row["input_usd_per_mtok"], row["cached_input_usd_per_mtok"]) for row in own(client)] == [(3.0, None)]
        client.put("/api/v1/prices", json=PRICE)
        assert len(own(client)) == 2
        removed = client.delete("/api/v1/prices?model=gpt-4o&provider=AZURE&valid_from=2026-12-01")
        assert removed.json()["removed"] == 1
        assert client.delete("/api/v1/prices?model=gpt-4o").status_code == 404
        assert client.delete("/api/v1/prices?model=gpt-4o&provider=azure").json()["removed"] == 1
        assert own(client) == []

    def test_every_change_is_on_record(self, server: Any) -> None:
        client = server.client("admin")
        client.put("/api/v1/prices", json=PRICE)
        client.delete("/api/v1/prices?model=gpt-4o&provider=azure")
        made, gone = events(server)
        assert (made["object"], made["change"], made["input_usd_per_mtok"]) == ("price/gpt-4o", "set", 2.25)
        assert (gone["object"], gone["change"], gone["prices"]) == ("price/gpt-4o", "removed", 1)
        assert made["actor"].startswith("key:")

    def test_the_list_prices_stand_behind(self, local_server: Any) -> None:
        rows = local_server.client("viewer").get("/api/v1/prices").json()["rows"]
        assert {row["origin"] for row in rows} == {"default"}
        assert any(row["model"] == "gpt-4o" and row["as_of"] for row in rows)

    @pytest.mark.parametrize("role", ["viewer", "author", "approver", "auditor"])
    def test_other_roles_only_read(self, local_server: Any, role: Any) -> None:
        client = local_server.client(role)
        assert client.put("/api/v1/prices", json=PRICE).status_code == 403
        assert client.delete("/api/v1/prices?model=gpt-4o").status_code == 403
        assert client.get("/api/v1/prices").status_code == 200

    @pytest.mark.parametrize(
        "change",
        [
            {"model": ""},
            {"model": "a*b"},
            {"model": "a\u0000b"},
            {"input_usd_per_mtok": -1},
            {"input_usd_per_mtok": "x"},
            {"output_usd_per_mtok": 1e9},
            {"valid_from": "soon"},
            {"valid_from": "1900-01-01"},
            {"as_of": "today"},
            {"price": 3},
        ],
    )
    def test_a_mistake_is_400_and_changes_nothing(self, local_server: Any, change: dict[str, Any]) -> None:
        client = local_server.client("admin")
        assert client.put("/api/v1/prices", json={**PRICE, **change}).status_code == 400
        assert own(client) == []
        assert events(local_server) == []
