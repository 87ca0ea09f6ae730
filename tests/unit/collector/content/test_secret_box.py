"""Secrets of the installation: readable with its key, at their own place, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.content import MasterSecretBox
from collector.content.master import KEY_FILE
from custodes.db import Database
from custodes.kernel.errors import ConfigurationError, UnavailableError
from custodes.kernel.settings import PrivacySettings, Settings


def make(database: Database, folder: Path, *, encrypt: bool = True) -> MasterSecretBox:
    return MasterSecretBox(database, Settings(data_dir=folder, privacy=PrivacySettings(encrypt=encrypt)), lambda: 0)


class TestSeal:
    @pytest.mark.parametrize("encrypt", [True, False])
    def test_it_opens_what_it_sealed_after_a_restart(self, database: Database, tmp_path: Path, encrypt: bool) -> None:
        sealed = make(database, tmp_path, encrypt=encrypt).seal("a", "whsec_hush")
        assert b"hush" not in sealed
        assert make(database, tmp_path, encrypt=encrypt).open("a", sealed) == "whsec_hush"

    def test_it_never_seals_the_same_twice(self, secret_box: MasterSecretBox) -> None:
        assert secret_box.seal("a", "x") != secret_box.seal("a", "x")

    @pytest.mark.parametrize("change", [lambda one: b"", lambda one: one[:-1], lambda one: b"\x02" + one[1:]])
    def test_it_refuses_what_was_changed_or_moved(self, secret_box: MasterSecretBox, change: object) -> None:
        sealed = secret_box.seal("a", "hush")
        with pytest.raises(UnavailableError, match="set it anew"):
            secret_box.open("a", change(sealed))  # type: ignore[operator]
        with pytest.raises(UnavailableError, match="set it anew"):
            secret_box.open("b", sealed)


class TestKey:
    def test_nothing_is_made_before_it_is_needed(self, database: Database, tmp_path: Path) -> None:
        make(database, tmp_path)
        assert not (tmp_path / KEY_FILE).exists()

    def test_a_missing_or_foreign_key_is_named(self, database: Database, tmp_path: Path) -> None:
        make(database, tmp_path).prepare()
        (tmp_path / KEY_FILE).rename(tmp_path / "kept")
        with pytest.raises(ConfigurationError, match="restore it from your backup"):
            make(database, tmp_path).prepare()
        (tmp_path / "other").mkdir()
        with pytest.raises(ConfigurationError, match="restore it from your backup"):
            make(database, tmp_path / "other").prepare()
