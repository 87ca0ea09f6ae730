"""``custodes action`` and ``custodes dataset``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from custodes.cli.datasets import read_query
from custodes.db import Database
from custodes.kernel.errors import ConflictError, InvalidInputError, NotFoundError
from policies.actions.store import insert_action
from tests.unit.policies.actions.test_gates import make_action

Run = Callable[..., Result]
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@on_sqlite
class TestAction:
    @pytest.fixture
    def proposed(self, database: Database) -> str:
        terms = {"kind": "finetune", "target": {"adapter": "github"}}
        with database.write() as tx:
            insert_action(tx, make_action(kind="finetune", incident_id="", mode="propose", planned_ns=1, terms=terms))
        return "a-1"

    def test_lists_shows_and_approves(self, run: Run, proposed: str) -> None:
        assert "proposed" in run("action", "list").stdout
        assert json.loads(run("action", "list", "--json", "--state", "open").stdout)["id"] == proposed
        assert run("action", "list", "--state", "helped").stdout.startswith("no actions")
        approved = run("action", "approve", proposed, "--comment", "agreed")
        assert (approved.exit_code, approved.stdout) == (0, "finetune to 2: approved\n")
        shown = run("action", "show", proposed).stdout
        assert shown.startswith("finetune to 2: approved\n")
        assert "agreed" in shown
        assert isinstance(run("action", "approve", proposed).exception, ConflictError)

    def test_refuses_with_a_reason(self, run: Run, proposed: str) -> None:
        assert run("action", "refuse", proposed).exit_code == 2
        assert "refused" in run("action", "refuse", proposed, "--reason", "not now").stdout

    def test_stops_everything_and_says_so(self, run: Run, proposed: str) -> None:
        assert run("action", "stop", "--reason", "drill", "--everywhere").exit_code == 0
        status = run("action", "status")
        assert status.exit_code == 1
        assert status.stdout.startswith("stopped everywhere by cli:")
        assert isinstance(run("action", "approve", proposed).exception, ConflictError)
        run("action", "resume", "--reason", "over", "--everywhere")
        assert run("action", "status").exit_code == 0

    def test_proposes_a_promotion_and_does_not_let_its_author_agree(self, run: Run) -> None:
        target = [f"--target={name}={value}" for name, value in (("adapter", "mlflow"), ("model", "bot"), ("to", "2"))]
        asked = run("action", "promote", *target, "--target=alias=champion", "--reason", "held-out loss fell")
        assert asked.exit_code == 0, asked.output
        action_id = asked.stdout.partition(":")[0]
        assert json.loads(run("action", "list", "--json").stdout)["kind"] == "promotion"
        assert isinstance(run("action", "approve", action_id).exception, ConflictError)
        wrong = run("action", "promote", *target, "--target=alias=champion", "--reason", "x y z", "--verify", "n > 1.0")
        assert isinstance(wrong.exception, InvalidInputError)

    def test_says_that_there_is_no_such_action(self, run: Run) -> None:
        assert isinstance(run("action", "show", "nope").exception, NotFoundError)


@on_sqlite
class TestDataset:
    def test_exports_nothing_that_nobody_reviewed(self, run: Run, tmp_path: Path) -> None:
        out = str(tmp_path / "out")
        result = run("dataset", "export", "--query", "metric=toxicity", "--format", "trl-unpaired", "--out", out)
        assert isinstance(result.exception, InvalidInputError)
        assert not (tmp_path / "out").exists()
        assert run("dataset", "list").stdout.startswith("no data sets yet")
        missing = run("dataset", "train", "x", "--target", "adapter=github")
        assert isinstance(missing.exception, NotFoundError)
        assert isinstance(run("dataset", "show", "x").exception, NotFoundError)


@on_sqlite
class TestSubject:
    def test_is_erased_with_a_reason(self, run: Run) -> None:
        assert run("subject", "erase", "u-1").exit_code == 2
        assert isinstance(run("subject", "erase", "u-1", "--reason", "short").exception, InvalidInputError)
        assert isinstance(run("subject", "erase", "u-1", "--reason", "request 4711, by mail").exception, NotFoundError)


class TestReadQuery:
    def test_reads_what_is_named(self) -> None:
        chosen = read_query("metric=toxicity min=0.5 service=bot from=now-1h", None, None, 10**19)
        assert (chosen.metric, chosen.min_score, chosen.service) == ("toxicity", 0.5, "bot")
        assert chosen.from_ns == 10**19 - 3600 * 10**9

    @pytest.mark.parametrize("text", ["metric", "foo=1", "metric=t min=x"])
    def test_says_what_it_cannot_read(self, text: str) -> None:
        with pytest.raises(InvalidInputError):
            read_query(text, None, None, 0)
