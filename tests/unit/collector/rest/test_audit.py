"""``/audit``: entries, tiles, proofs that verify offline, and a check that notices a changed byte."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from policies.audit.checkpoint import open_checkpoint
from policies.audit.intake import append_event
from policies.audit.merkle import verify_inclusion
from policies.audit.note import parse_verifier_key
from policies.audit.tiles import decode_entries


def log_events(server: Any, count: int) -> None:
    """Log so many events, of two actors and actions in turn."""
    with server.database.write() as tx:
        for number in range(count):
            append_event(
                tx,
                action=("thing.made", "thing.lost")[number % 2],
                actor=("ann", "bob")[number % 2],
                role="system",
                object=f"thing/{number}",
                data={"number": number},
                at_ns=server.now_ns + number,
                project="default",
            )
    server.audit.flush()


class TestEntries:
    @pytest.fixture
    def auditor(self, server: Any) -> Any:
        """An auditor of a log whose entry 0 is its own key and 1 to 6 are six things."""
        client = server.client("auditor")
        log_events(server, 6)
        return client

    def seqs(self, client: Any, query: str) -> list[int]:
        return [row["seq"] for row in client.get(f"/api/v1/audit/entries?{query}").json()["rows"]]

    def test_an_entry_says_who_did_what(self, auditor: Any) -> None:
        row = auditor.get("/api/v1/audit/entries?from_seq=1&limit=1").json()["rows"][0]
        assert (row["seq"], row["actor"], row["role"], row["action"], row["object"], row["data"]) == (
            1, "ann", "system", "thing.made", "thing/0", {"number": 0},
        )  # fmt: skip
        assert len(row["hash"]) == 64

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("", [0, 1, 2, 3, 4, 5, 6]),
            ("from_seq=4", [4, 5, 6]),
            ("from_seq=7", []),
            ("order=desc&limit=2", [6, 5]),
            ("order=desc&from_seq=3", [2, 1, 0]),
            ("actor=bob", [2, 4, 6]),
            ("action=thing.made&from_seq=2", [3, 5]),
            ("object=thing/3", [4]),
            ("actor=eve", []),
        ],
    )
    def test_they_are_selected_exactly(self, auditor: Any, query: str, expected: list[int]) -> None:
        assert self.seqs(auditor, query) == expected

    @pytest.mark.parametrize("order", ["asc", "desc"])
    def test_their_pages_together_are_the_list(self, auditor: Any, order: str) -> None:
        found: list[int] = []
        cursor: str | None = ""
        while cursor is not None:
            more = f"&cursor={cursor}" if cursor else ""
            page = auditor.get(f"/api/v1/audit/entries?order={order}&actor=bob&limit=2{more}").json()
            found += [row["seq"] for row in page["rows"]]
            cursor = page["next_cursor"]
        assert sorted(found) == [2, 4, 6]
        assert found == sorted(found, reverse=order == "desc")

    @pytest.mark.parametrize("query", ["from_seq=-1", "from_seq=x", "order=up", "limit=0", "who=ann"])
    def test_a_mistake_is_a_400(self, local_server: Any, query: str) -> None:
        assert local_server.client("auditor").get(f"/api/v1/audit/entries?{query}").status_code == 400


class TestProofs:
    def test_they_verify_with_the_published_key_alone(self, server: Any) -> None:
        auditor = server.client("auditor")
        log_events(server, 300)
        status = auditor.get("/api/v1/audit/status").json()
        key = parse_verifier_key(status["key"])
        for seq in (0, 150, 255, 256, 300):
            proof = auditor.get(f"/api/v1/audit/prove/{seq}").json()
            checkpoint = open_checkpoint(proof["note"].encode(), status["origin"], key)
            nodes = tuple(bytes.fromhex(node) for node in proof["proof"])
            verify_inclusion(seq, proof["size"], bytes.fromhex(proof["leaf_hash"]), nodes, checkpoint.root)
            assert (proof["size"], proof["root"]) == (checkpoint.size, checkpoint.root.hex())
        assert (status["size"], status["pending"]) == (301, 0)

    def test_there_is_none_for_what_is_not_signed(self, server: Any) -> None:
        auditor = server.client("auditor")
        log_events(server, 1)
        assert auditor.get("/api/v1/audit/prove/2").status_code == 404
        assert auditor.get("/api/v1/audit/prove/-1").status_code == 400


class TestTiles:
    def test_they_are_the_c2sp_resources(self, server: Any) -> None:
        auditor = server.client("auditor")
        log_events(server, 300)
        full = auditor.get("/api/v1/audit/tile/0/000")
        assert (len(full.content), full.headers["content-type"]) == (256 * 32, "application/octet-stream")
        assert "immutable" in full.headers["cache-control"]
        assert len(auditor.get("/api/v1/audit/tile/0/001.p/45").content) == 45 * 32
        assert len(decode_entries(auditor.get("/api/v1/audit/tile/entries/001.p/45").content)) == 45
        note = server.client("viewer").get("/api/v1/audit/checkpoint")
        assert note.text.split("\n")[1] == "301"
        assert note.headers["content-type"].startswith("text/plain")

    @pytest.mark.parametrize(
        "path", ["0/001", "0/000.p/9", "x/000", "0/0", "0/000.p/256", "64/000", "entries/../0/000"]
    )
    def test_there_are_no_others(self, local_server: Any, path: str) -> None:
        auditor = local_server.client("auditor")
        log_events(local_server, 3)
        assert auditor.get(f"/api/v1/audit/tile/{path}").status_code == 404

    def test_before_the_log_was_started_there_is_none(self, local_server: Any) -> None:
        assert local_server.client("auditor").get("/api/v1/audit/checkpoint").status_code == 404
        status = local_server.client("viewer").get("/api/v1/audit/status").json()
        assert (status["size"], status["root"], status["checkpoint_at"]) == (0, None, None)
        assert status["pending"] == 2


class TestVerify:
    def verify(self, server: Any) -> Any:
        return server.client("auditor").post("/api/v1/audit/verify").json()

    def test_it_recomputes_every_leaf(self, server: Any) -> None:
        log_events(server, 300)
        found = self.verify(server)
        assert (found["verdict"], found["checked_leaves"], found["size"]) == ("intact", 300, 300)
        assert any("audit verify" in line for line in found["how_to_verify_offline"])

    @pytest.mark.parametrize(
        ("damage", "verdict"),
        [
            ("UPDATE audit_leaf SET body = replace(body, 'bob', 'eve') WHERE seq = 1", "tampered"),
            ("DELETE FROM audit_leaf WHERE seq = 2", "tampered"),
            ("UPDATE audit_tile SET data = zeroblob(length(data))", "tampered"),
            ("UPDATE audit_head SET size = 3", "truncated"),
            ("UPDATE audit_checkpoint SET note = replace(note, char(10) || '5', char(10) || '4')", "tampered"),
            ("UPDATE audit_checkpoint SET size = 4 WHERE size = 5", "tampered"),
        ],
    )
    def test_it_notices_damage(self, local_server: Any, damage: str, verdict: str) -> None:
        log_events(local_server, 5)
        with local_server.database.write() as tx:
            for row in tx.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                tx.execute(text(f"DROP TRIGGER {row.name}"))
            tx.execute(text(damage))
        assert self.verify(local_server)["verdict"] == verdict

    def test_a_log_without_checkpoint_is_unverifiable(self, local_server: Any) -> None:
        assert self.verify(local_server)["verdict"] == "unverifiable"
