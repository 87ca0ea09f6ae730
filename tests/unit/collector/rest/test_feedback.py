"""``/feedback``: what people say about answers is kept once, listed, and shown with its trace."""

from __future__ import annotations

from typing import Any

import pytest

TRACE = "ab" * 16
ID = "00000000-0000-4000-8000-00000000000{}"


def say(client: Any, **fields: Any) -> Any:
    return client.post("/api/v1/feedback", json={"trace_id": TRACE, **fields})


def rows(client: Any, **params: Any) -> list[dict[str, Any]]:
    answer = client.get("/api/v1/feedback", params=params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["rows"]
    return found


class TestStoring:
    def test_an_application_may_say_and_a_reader_may_list(self, server: Any) -> None:
        answer = say(server.client("ingester"), label="wrong", value=0.5, user="u-1", span_id="cd" * 8, source="chat")
        assert answer.status_code == 201
        assert answer.json() == {"id": answer.json()["id"], "created": True}
        (row,) = rows(server.client("viewer"))
        assert row["at"].startswith("20")
        assert row == {
            "id": answer.json()["id"],
            "trace_id": TRACE,
            "span_id": "cd" * 8,
            "label": "wrong",
            "value": 0.5,
            "comment": None,
            "has_comment": False,
            "user_id": "u-1",
            "source": "chat",
            "at": row["at"],
        }

    def test_the_same_id_is_stored_once_and_stays_as_it_was(self, server: Any) -> None:
        client = server.client("ingester")
        assert say(client, id=ID.format(1), label="wrong").status_code == 201
        again = say(client, id=ID.format(1), label="right")
        assert (again.status_code, again.json()["created"]) == (200, False)
        assert [row["label"] for row in rows(server.client("viewer"))] == ["wrong"]

    def test_projects_do_not_see_each_other(self, server: Any) -> None:
        assert say(server.client("ingester", "other"), id=ID.format(1), label="wrong").status_code == 201
        assert say(server.client("ingester"), id=ID.format(1), label="right").status_code == 201
        assert [row["label"] for row in rows(server.client("viewer"))] == ["right"]
        assert [row["label"] for row in rows(server.client("viewer", "other"))] == ["wrong"]

    def test_a_clock_that_is_ahead_says_nothing_in_the_future(self, local_server: Any) -> None:
        client = local_server.client("ingester")
        assert say(client, label="a", at="2100-01-01T00:00:00Z").status_code == 201
        assert say(client, label="b", at="2020-01-01T00:00:00Z").status_code == 201
        first, second = rows(local_server.client("viewer"))
        assert first["at"] < "2100"
        assert second["at"].startswith("2020-01-01T00:00:00")

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"label": "x", "trace_id": "0" * 32},
            {"label": "x", "trace_id": "zz" * 16},
            {"label": "x", "span_id": "12"},
            {"label": ""},
            {"label": "x" * 65},
            {"label": "a\0b"},
            {"comment": "\0"},
            {"comment": "x" * 10_001},
            {"value": "NaN"},
            {"value": "high"},
            {"label": "x", "at": "yesterday"},
            {"label": "x", "id": "1"},
            {"label": "x", "nonsense": 1},
        ],
    )
    def test_what_makes_no_sense_is_refused(self, local_server: Any, fields: dict[str, Any]) -> None:
        answer = say(local_server.client("ingester"), **fields)
        assert answer.status_code == 400, answer.text
        assert rows(local_server.client("viewer")) == []

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"trace_id": "\xff"}', b'{"comment": "\\ud800"}'])
    def test_bytes_that_are_no_feedback_are_refused(self, local_server: Any, body: bytes) -> None:
        body = body.replace(b'{"comment"', b'{"trace_id": "' + TRACE.encode() + b'", "comment"')
        client = local_server.client("ingester")
        answer = client.post("/api/v1/feedback", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400


class TestComments:
    def test_they_are_captured_text(self, server: Any) -> None:
        assert say(server.client("ingester"), comment="It cannot be Lyon.", user="u-1").status_code == 201
        (row,) = rows(server.client("viewer"))
        assert (row["comment"], row["has_comment"]) == (None, True)
        (row,) = rows(server.dev_client())
        assert (row["comment"], row["has_comment"]) == ("It cannot be Lyon.", True)

    def test_they_are_encrypted_and_gone_when_their_author_is_erased(self, server: Any) -> None:
        from sqlalchemy import select

        from custodes.db.tables import feedback

        say(server.client("ingester"), comment="It cannot be Lyon.", user="u-1", label="wrong")
        with server.database.read() as tx:
            stored = tx.execute(select(feedback.c.key_id, feedback.c.body)).one()
        assert stored.key_id is not None
        assert b"Lyon" not in stored.body
        with server.database.write() as tx:
            assert server.contents.destroy_subject_keys(tx, "default", "u-1") == 1
        (row,) = rows(server.dev_client())
        assert (row["comment"], row["has_comment"], row["label"]) == (None, True, "wrong")


class TestListing:
    def test_it_pages_newest_first_without_gaps(self, server: Any) -> None:
        client = server.client("ingester")
        for n in range(7):
            # Three at the same moment, so that the id has to decide.
            say(client, id=ID.format(n), label="a", at=f"2026-01-01T00:00:0{min(n, 4)}Z")
        viewer = server.client("viewer")
        seen: list[str] = []
        cursor = None
        while True:
            page = viewer.get("/api/v1/feedback", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
            seen += [row["id"] for row in page["rows"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == [ID.format(n) for n in (6, 5, 4, 3, 2, 1, 0)]

    def test_it_filters_by_label_and_time(self, local_server: Any) -> None:
        client = local_server.client("ingester")
        say(client, label="wrong", at="2026-01-01T00:00:00Z")
        say(client, label="wrong", at="2026-01-02T00:00:00Z")
        say(client, label="right", at="2026-01-02T00:00:00Z")
        viewer = local_server.client("viewer")
        assert len(rows(viewer, label="wrong")) == 2
        assert len(rows(viewer, label="wrong", **{"from": "2026-01-01T12:00:00Z"})) == 1
        assert len(rows(viewer, to="2026-01-02T00:00:00Z")) == 1

    @pytest.mark.parametrize("params", [{"cursor": "x"}, {"limit": 0}, {"from": "x"}, {"nonsense": "1"}])
    def test_it_refuses_what_it_does_not_know(self, local_server: Any, params: dict[str, Any]) -> None:
        assert local_server.client("viewer").get("/api/v1/feedback", params=params).status_code == 400


class TestTraces:
    def test_a_trace_shows_what_was_said_about_it(self, server: Any, chat: Any) -> None:
        server.store(chat(1, trace_id=TRACE))
        say(server.client("ingester"), label="wrong", comment="no", at="2026-01-01T00:00:00Z")
        say(server.client("ingester"), label="right", at="2026-01-02T00:00:00Z")
        say(server.client("ingester"), trace_id="12" * 16, label="other")
        seen = server.client("viewer").get(f"/api/v1/traces/{TRACE}").json()["feedback"]
        assert [(row["label"], row["comment"]) for row in seen] == [("right", None), ("wrong", None)]
        seen = server.dev_client().get(f"/api/v1/traces/{TRACE}").json()["feedback"]
        assert [row["comment"] for row in seen] == [None, "no"]
