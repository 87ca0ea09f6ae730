"""``custodes endpoint``, end to end on both databases."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from custodes.db import Database
from custodes.db.tables import outbox
from policies.errors import EndpointError
from policies.hooks.endpoint_store import find_endpoint
from policies.hooks.signing import parse_verifier

Run = Callable[..., Result]
SLACK = "https://hooks.slack.com/services/T/B/hush"


class TestAdd:
    def test_it_prints_a_signing_secret_once(self, run: Run) -> None:
        added = run("endpoint", "add", "oncall", "https://a.example/hook")
        assert added.exit_code == 0, added.output
        assert added.stdout.startswith("whsec_")
        moved = run("endpoint", "add", "oncall", "https://b.example/hook")
        assert (moved.exit_code, moved.stdout) == (0, "")
        assert "https://b.example/hook" in run("endpoint", "list").stdout

    def test_it_prints_the_public_half_of_an_ed25519_key(self, run: Run) -> None:
        added = run("endpoint", "add", "oncall", "https://a.example/hook", "--signing", "v1a")
        assert added.stdout.startswith("whsk_")
        parse_verifier(added.stderr.split("verify with ")[1].split()[0])

    def test_it_takes_a_kind_whose_address_is_a_secret(self, run: Run) -> None:
        added = run("endpoint", "add", "chat", SLACK, "--kind", "slack")
        assert (added.exit_code, added.stdout) == (0, "")
        listed = run("endpoint", "list", "--json")
        assert json.loads(listed.stdout)["url"] == "https://hooks.slack.com/…"
        assert "hush" not in added.output + listed.output

    def test_it_reads_secrets_from_files(self, run: Run, tmp_path: Path, database: Database) -> None:
        (tmp_path / "key").write_text("k" * 32 + "\n")
        words = ("endpoint", "add", "pager", "--kind", "pagerduty")
        added = run(*words, "--secret-file", f"routing_key={tmp_path / 'key'}")
        assert added.exit_code == 0, added.output
        with database.read() as tx:
            assert find_endpoint(tx, "default", "pager") is not None

    def test_it_takes_options(self, run: Run) -> None:
        options = ("--option", "from=a@example.org", "--option", "to=b@example.org,c@example.org")
        added = run("endpoint", "add", "mail", "smtps://mail.example.org", "--kind", "email", *options)
        assert added.exit_code == 0, added.output
        assert json.loads(run("endpoint", "list", "--json").stdout)["options"]["to"] == "b@example.org,c@example.org"

    @pytest.mark.parametrize(
        "words",
        [
            ("https://a.example", "--kind", "pagerduty"),
            ("ftp://a.example",),
            (),
            ("https://a.example", "--option", "x=y"),
        ],
    )
    def test_it_refuses_what_cannot_work(self, run: Run, words: tuple[str, ...]) -> None:
        assert isinstance(run("endpoint", "add", "oncall", *words).exception, EndpointError)

    def test_kinds_lists_what_each_takes(self, run: Run) -> None:
        shown = run("endpoint", "kinds").stdout
        assert all(kind in shown for kind in ("webhook", "slack", "teams", "pagerduty", "alertmanager", "email"))
        assert "routing_key" in shown


class TestLife:
    def test_it_rotates_tests_and_removes(self, run: Run) -> None:
        run("endpoint", "add", "oncall", "https://10.0.0.1/hook")
        rotated = run("endpoint", "rotate", "oncall", "--overlap", "1h")
        assert rotated.stdout.startswith("whsec_")
        assert "signs too until" in rotated.stderr
        tested = run("endpoint", "test", "oncall", "--json")
        assert tested.exit_code == 1
        assert json.loads(tested.stdout)["delivered"] is False
        assert run("endpoint", "remove", "oncall").exit_code == 0
        assert run("endpoint", "list").stdout.startswith("no endpoints yet")

    def test_it_lists_and_replays_dead_letters(self, run: Run, database: Database) -> None:
        run("endpoint", "add", "oncall", "https://a.example/hook")
        values = {"project_id": "default", "endpoint_id": "oncall", "event_type": "x", "body": b"{}", "state": "dead"}
        with database.write() as tx:
            tx.execute(outbox.insert().values(id="msg_1", **values, created_ns=0, next_attempt_ns=0))
        assert "msg_1" in run("endpoint", "deliveries", "oncall", "--state", "dead").stdout
        done = run("endpoint", "replay", "oncall", "--json")
        assert json.loads(done.stdout) == {"replayed": ["msg_1"], "skipped": {}}
        assert json.loads(run("endpoint", "replay", "oncall", "msg_1", "--json").stdout)["replayed"] == []

    def test_it_discards_dead_letters(self, run: Run, database: Database) -> None:
        run("endpoint", "add", "oncall", "https://a.example/hook")
        values = {"project_id": "default", "endpoint_id": "oncall", "event_type": "x", "body": b"{}", "state": "dead"}
        with database.write() as tx:
            tx.execute(outbox.insert().values(id="msg_1", **values, created_ns=0, next_attempt_ns=0))
        assert run("endpoint", "discard", "oncall", "msg_2").stderr == "msg_2: left alone, it is not dead\n"
        assert run("endpoint", "discard", "oncall").stdout == "1 messages are removed\n"
        assert json.loads(run("endpoint", "discard", "oncall", "--json").stdout) == {"discarded": [], "skipped": {}}
        assert run("endpoint", "deliveries", "oncall").stdout == ""
