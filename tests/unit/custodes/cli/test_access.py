"""``custodes project``, ``key``, ``price`` and ``ledger``."""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import select

from collector.auth import Authenticator
from collector.content.master import KEY_FILE, load_or_create_master_key
from collector.content.store import record_fingerprint
from collector.store_ledger import add_to_ledger
from custodes.db import Database
from custodes.db.tables import audit_intake, project
from custodes.kernel.clock import HOUR_NS, ns_to_minute, rfc3339_to_ns, system_clock
from custodes.kernel.errors import AuthenticationError, ConflictError, InvalidInputError, MalformedError, NotFoundError

Run = Callable[..., Result]


def ok(result: Result) -> str:
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ok(result).splitlines()]


def actions(database: Database) -> list[str]:
    with database.read() as tx:
        return [json.loads(body)["action"] for body in tx.execute(select(audit_intake.c.body)).scalars()]


class TestProject:
    def test_it_is_created_and_listed(self, run: Run) -> None:
        assert "custodes key create --project shop" in ok(run("project", "create", "shop"))
        assert [row["id"] for row in lines(run("project", "list", "--json"))] == ["default", "shop"]
        assert "shop" in ok(run("project", "list"))

    @pytest.mark.parametrize(("name", "error"), [("Shop", InvalidInputError), ("default", ConflictError)])
    def test_a_mistake_is_our_error(self, run: Run, name: str, error: type[Exception]) -> None:
        assert isinstance(run("project", "create", name).exception, error)


class TestKey:
    def test_rotation_gives_a_second_key_while_the_first_works(self, run: Run, database: Database) -> None:
        limits = ("--max-spans-per-s", "50", "--max-concurrent", "2")
        made = json.loads(ok(run("key", "create", "--role", "ingester", "--json", *limits)))
        rotated = run("key", "rotate", made["id"], "--overlap", "1h")
        assert "takes over from" in rotated.stderr
        gate = Authenticator(database, system_clock, dev=False)
        old, new = (gate.authenticate({"x-api-key": text}, None) for text in (made["key"], ok(rotated).strip()))
        assert (new.role, new.max_spans_per_s, new.max_concurrent) == ("ingester", 50.0, 2)
        assert old.actor != new.actor
        rows = {row["id"]: row for row in lines(run("key", "list", "--json"))}
        until = rfc3339_to_ns(rows[made["id"]]["expires_at"])
        assert abs(until - system_clock() - HOUR_NS) < HOUR_NS / 60
        shown = ok(run("key", "list"))
        assert "50 spans/s, 2 at once" in shown
        assert "until " in shown
        assert actions(database) == ["key.created", "key.rotated"]

    def test_without_overlap_the_first_ends_and_cannot_be_rotated_again(self, run: Run, database: Database) -> None:
        made = json.loads(ok(run("key", "create", "--role", "viewer", "--json")))
        answer = json.loads(ok(run("key", "rotate", made["id"], "--overlap", "0", "--json")))
        assert answer["old"]["id"] == made["id"]
        with pytest.raises(AuthenticationError, match="expired"):
            Authenticator(database, system_clock, dev=False).authenticate({"x-api-key": made["key"]}, None)
        assert isinstance(run("key", "rotate", made["id"]).exception, ConflictError)
        assert "expired" in ok(run("key", "list"))

    @pytest.mark.parametrize("overlap", ["soon", "12", "-1h"])
    def test_a_bad_overlap_is_a_usage_error(self, run: Run, overlap: str) -> None:
        assert run("key", "rotate", "00000000", f"--overlap={overlap}").exit_code == 2

    def test_a_project_that_comes_with_its_first_key_is_named_unless_it_is_the_default_one(
        self, run: Run, database: Database
    ) -> None:
        with database.write() as tx:
            tx.execute(project.delete())
        assert "is new" not in run("key", "create", "--role", "ingester", "--project", "default").stderr
        assert "project 'shpo' is new" in run("key", "create", "--role", "ingester", "--project", "shpo").stderr

    def test_an_unknown_key_is_our_error(self, run: Run) -> None:
        assert isinstance(run("key", "rotate", "00000000").exception, NotFoundError)

    def test_limits_that_let_nothing_through_are_refused(self, run: Run) -> None:
        result = run("key", "create", "--role", "ingester", "--max-concurrent", "0")
        assert isinstance(result.exception, InvalidInputError)


class TestPrice:
    def test_it_is_set_listed_and_removed(self, run: Run, database: Database) -> None:
        assert "no prices of its own" in ok(run("price", "list"))
        ok(run("price", "set", "My-Llama*", "--input", "0", "--output", "0", "--source", "own hardware"))
        more = ("--provider", "azure", "--from", "2026-12-01", "--as-of", "2026-11-20", "--cached-input", "1")
        ok(run("price", "set", "gpt-4o", "--input", "2", "--output", "8", *more))
        rows = lines(run("price", "list", "--json"))
        assert [(row["model"], row["provider"], row["cached_input_usd_per_mtok"]) for row in rows] == [
            ("gpt-4o", "azure", 1.0),
            ("my-llama*", "", None),
        ]
        assert len(lines(run("price", "list", "--defaults", "--json"))) > 60
        assert "own hardware" in ok(run("price", "list"))
        assert "removed 1 price of" in ok(run("price", "remove", "gpt-4o", "--provider", "azure"))
        assert isinstance(run("price", "remove", "gpt-4o").exception, NotFoundError)
        assert actions(database) == ["price.changed"] * 3

    def test_a_file_is_imported_whole_or_not_at_all(self, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "prices.csv"
        file.write_text("model,input_usd_per_mtok,output_usd_per_mtok\na,1,2\nb,x,4\n")
        result = run("price", "import", str(file))
        assert isinstance(result.exception, MalformedError)
        assert "line 3" in str(result.exception)
        assert lines(run("price", "list", "--json")) == []
        file.write_text("model,input_usd_per_mtok,output_usd_per_mtok\na,1,2\nb,3,4\n")
        assert "set 2 prices" in ok(run("price", "import", str(file)))
        assert [row["model"] for row in lines(run("price", "list", "--json"))] == ["a", "b"]

    def test_a_file_that_is_empty_or_no_text_is_an_error(self, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "prices.json"
        for content in (b"[]", b"\xff\xfe"):
            file.write_bytes(content)
            assert run("price", "import", str(file)).exit_code == 1

    def test_an_unknown_project_is_our_error(self, run: Run) -> None:
        result = run("price", "set", "m", "--input", "1", "--output", "1", "--project", "nowhere")
        assert isinstance(result.exception, NotFoundError)


class TestLedger:
    def fill(self, database: Database, minute: int) -> None:
        counts = {
            ("received", ""): 6,
            ("stored", ""): 4,
            ("duplicates", ""): 1,
            ("rejected", "too_deep"): 1,
            ("exchanges", ""): 3,
            ("assessed", ""): 1,
            ("not_assessed", "no_text"): 1,
        }
        with database.write() as tx:
            add_to_ledger(tx, Counter({("default", minute, "bot", *key): n for key, n in counts.items()}))

    def test_it_shows_every_count(self, run: Run, database: Database) -> None:
        self.fill(database, ns_to_minute(system_clock()))
        shown = ok(run("ledger"))
        for words in ("received                  6", "too_deep", "no_text", "pending                 1"):
            assert words in shown
        found = json.loads(ok(run("ledger", "--json", "--from", "now-1h", "--service", "bot")))
        assert (found["received"], found["pending"], found["rejected"]) == (6, 1, {"too_deep": 1})
        assert json.loads(ok(run("ledger", "--json", "--to", "now-1h")))["received"] == 0
        assert json.loads(ok(run("ledger", "--json", "--service", "search")))["received"] == 0
        ok(run("project", "create", "other"))
        assert json.loads(ok(run("ledger", "--json", "--project", "other")))["received"] == 0

    def test_an_unknown_project_is_our_error(self, run: Run) -> None:
        result = run("ledger", "--project", "nope")
        assert isinstance(result.exception, NotFoundError)
        assert "no project 'nope'" in str(result.exception)

    def test_a_time_that_is_none_is_our_error(self, run: Run) -> None:
        assert isinstance(run("ledger", "--from", "yesterday").exception, InvalidInputError)


class TestDoctor:
    def test_it_covers_every_project_and_says_what_to_do(
        self, run: Run, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            monkeypatch.setenv("CUSTODES_HTTP__PORT", str(listener.getsockname()[1]))
            ok(run("project", "create", "shop"))
            minute = ns_to_minute(system_clock())
            counts = {("received", ""): 2, ("rejected", "too_deep"): 2}
            with database.write() as tx:
                add_to_ledger(tx, Counter({("shop", minute, "till", *key): n for key, n in counts.items()}))
            result = run("doctor", "--json")
        found = [json.loads(line) for line in result.stdout.splitlines()]
        assert result.exit_code in (0, 1)
        assert {"database", "disk", "server"} <= {one["subject"] for one in found}
        (refused,) = [one for one in found if one["subject"] == "exporter of till in project shop"]
        assert "too_deep" in refused["text"]
        assert "CUSTODES_INGEST__MAX_DEPTH" in refused["advice"]

    @pytest.mark.parametrize("defect", ["missing", "damaged", "another", "open", "none"])
    def test_the_content_key_is_checked_as_at_the_start(
        self, run: Run, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, defect: str
    ) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            monkeypatch.setenv("CUSTODES_HTTP__PORT", str(listener.getsockname()[1]))
            assert self.content_key(run)["text"] == "none yet; the first start makes one"
            assert not (tmp_path / KEY_FILE).exists()
            master = load_or_create_master_key(tmp_path)
            with database.write() as tx:
                record_fingerprint(tx, master.fingerprint, 0)
            file = tmp_path / KEY_FILE
            if defect == "missing":
                file.unlink()
            elif defect == "damaged":
                file.write_text("x")
            elif defect == "another":
                file.unlink()
                load_or_create_master_key(tmp_path)
            elif defect == "open":
                file.chmod(0o644)
            found = self.content_key(run)
        words = {
            "missing": "restore it from your backup",
            "damaged": "is damaged; restore it",
            "another": "needs the same file",
            "open": "chmod 600",
            "none": "belongs to this database",
        }
        assert found["level"] == ("ok" if defect == "none" else "problem")
        assert words[defect] in found["text"]
        assert ("CUSTODES_PRIVACY__KEY_DIR" in found["advice"]) == (defect != "none")

    def content_key(self, run: Run) -> dict[str, Any]:
        found: list[dict[str, Any]] = [json.loads(line) for line in run("doctor", "--json").stdout.splitlines()]
        (one,) = [one for one in found if one["subject"] == "content key"]
        return one
