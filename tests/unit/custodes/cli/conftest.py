"""The command line, run against a database of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from custodes.cli import database as cli_database
from custodes.cli.main import cli
from custodes.db import Database, open_database

Run = Callable[..., Result]


@pytest.fixture
def run(database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``custodes`` with these words; an error of ours stays in ``result.exception``."""
    opened: list[Database] = []

    def open_and_note(url: str, **options: Any) -> Database:
        opened.append(open_database(url, **options))
        return opened[-1]

    # A command leaves its connections to the end of its process, which does not come here.
    monkeypatch.setattr(cli_database, "open_database", open_and_note)

    def call(*words: str) -> Result:
        variables = {"CUSTODES_DATABASE__URL": database_url, "CUSTODES_DATA_DIR": str(tmp_path)}
        result = CliRunner().invoke(cli, list(words), env=variables)
        while opened:
            opened.pop().dispose()
        return result

    return call
