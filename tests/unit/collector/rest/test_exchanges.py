"""``/exchanges``: scores for readers, captured text only against a reason that is already in the signed log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from collector.app import build_app
from collector.dialects.span import NormalSpan
from policies.audit.errors import LogStateError
from policies.audit.reading import list_entries
from policies.audit.store import LeafFilter

Chat = Callable[..., NormalSpan]
EXCHANGE = f"{1:032x}{1:016x}"
REASON = {"reason": "ticket 4711: complaint"}


class BrokenLog:
    """A log that cannot sign, from the start or only after the action."""

    def __init__(self, *, from_the_start: bool) -> None:
        self.from_the_start = from_the_start

    def flush(self) -> None:
        if self.from_the_start:
            raise LogStateError("the disk is full")

    def flush_until(self, intake_id: int) -> None:
        raise LogStateError("the disk is full")


class TestRead:
    def test_it_shows_scores_and_no_text(self, server: Any, chat: Chat) -> None:
        server.store(chat(0, prompt="Secret?", response="Secret."))
        server.score({"toxicity": 0.4})
        answer = server.client("analyst").get(f"/api/v1/exchanges/{EXCHANGE}")
        found = answer.json()
        assert (found["id"], found["state"], found["text_visible"]) == (EXCHANGE, "assessed", False)
        assert found["scores"]["toxicity"]["value"] == 0.4
        assert "Secret" not in answer.text

    def test_it_finds_an_id_in_capitals(self, server: Any, chat: Chat) -> None:
        server.store(chat(0, trace_id="ab" * 16))
        assert server.client("viewer").get(f"/api/v1/exchanges/{'AB' * 16}{1:016x}").status_code == 200

    @pytest.mark.parametrize(("exchange_id", "status"), [("1" * 48, 404), ("1" * 47, 400), ("z" * 48, 400)])
    def test_what_is_not_there_is_said(self, local_server: Any, exchange_id: str, status: int) -> None:
        assert local_server.client("viewer").get(f"/api/v1/exchanges/{exchange_id}").status_code == status


class TestReveal:
    def test_it_shows_the_text_and_where_the_log_says_so(self, server: Any, chat: Chat) -> None:
        server.store(chat(0, prompt="Secret?", response="Secret."))
        found = server.client("analyst").post(f"/api/v1/exchanges/{EXCHANGE}/reveal", json=REASON).json()
        assert (found["prompt"], found["response"], found["text_visible"]) == ("Secret?", "Secret.", True)
        with server.database.read() as tx:
            leaf = list_entries(tx, LeafFilter(action="exchange.revealed"))[0]
        body = orjson.loads(leaf.body)
        assert found["audit"]["seq"] == leaf.seq < found["audit"]["checkpoint_size"]
        assert (body["object"], body["reason"]) == (f"exchange/{EXCHANGE}", REASON["reason"])
        assert body["actor"].startswith("key:")
        assert "Secret" not in leaf.body.decode()

    @pytest.mark.parametrize("from_the_start", [True, False])
    def test_it_shows_nothing_when_the_log_is_down(self, local_server: Any, chat: Chat, from_the_start: bool) -> None:
        local_server.store(chat(0, prompt="Secret?", response="Secret."))
        app = build_app(local_server.services(audit=BrokenLog(from_the_start=from_the_start)))
        answer = local_server.client("analyst", app=app).post(f"/api/v1/exchanges/{EXCHANGE}/reveal", json=REASON)
        assert answer.status_code == 503
        assert "Secret" not in answer.text
        assert "audit log" in answer.json()["detail"]

    def test_nothing_is_logged_about_an_exchange_that_is_not_there(self, local_server: Any) -> None:
        answer = local_server.client("analyst").post(f"/api/v1/exchanges/{EXCHANGE}/reveal", json=REASON)
        assert answer.status_code == 404
        local_server.audit.flush()
        with local_server.database.read() as tx:
            assert list_entries(tx, LeafFilter(action="exchange.revealed")) == []

    @pytest.mark.parametrize(
        "body", [{}, {"reason": "short"}, {"reason": " " * 20}, {"reason": 5}, REASON | {"x": 1}, []]
    )
    def test_it_needs_a_reason(self, local_server: Any, chat: Chat, body: Any) -> None:
        local_server.store(chat(0))
        answer = local_server.client("analyst").post(f"/api/v1/exchanges/{EXCHANGE}/reveal", json=body)
        assert answer.status_code == 400
        assert answer.json()["type"] == "urn:custodes:problem:invalid-parameter"

    @pytest.mark.parametrize("role", ["viewer", "admin", "auditor", "author", "approver", "operator", "ingester"])
    def test_only_an_analyst_may(self, local_server: Any, chat: Chat, role: str) -> None:
        local_server.store(chat(0))
        answer = local_server.client(role).post(f"/api/v1/exchanges/{EXCHANGE}/reveal", json=REASON)
        assert answer.status_code == 403
