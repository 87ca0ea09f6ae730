"""The master key: made once, guarded, and missed loudly."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from collector.content import Contents, MasterSecretBox, open_contents, span_aad
from collector.content.master import KEY_FILE, MasterKey, load_master_key, load_or_create_master_key
from custodes.db import Database
from custodes.kernel.errors import ConfigurationError
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import PrivacySettings, Settings
from policies.actors import Actor
from policies.endpoints import EndpointSpec, create_endpoint

AAD = span_aad(b"t" * 16, b"s" * 8)


def start(database: Database, folder: Path, *, encrypt: bool = True) -> Contents:
    settings = Settings(data_dir=folder, privacy=PrivacySettings(encrypt=encrypt))
    return open_contents(database, settings, Metrics(), lambda: 0)


class TestFile:
    def test_it_is_made_once_and_for_its_owner_alone(self, tmp_path: Path) -> None:
        made = load_or_create_master_key(tmp_path / "new")
        path = tmp_path / "new" / KEY_FILE
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert load_or_create_master_key(tmp_path / "new").fingerprint == made.fingerprint
        assert [one.name for one in path.parent.iterdir()] == [KEY_FILE]

    @pytest.mark.parametrize(
        "change",
        [
            lambda line: line[:-5] + "\n",
            lambda line: line.replace("custodes", "someone"),
            lambda line: line[:30] + ("0" if line[30] != "0" else "1") + line[31:],
            lambda line: "",
            lambda line: line + line,
            lambda line: "custodes-content-key+" + "0" * 32 + "+====\n",
        ],
    )
    def test_a_damaged_one_is_refused_and_kept(self, tmp_path: Path, change: object) -> None:
        load_or_create_master_key(tmp_path)
        path = tmp_path / KEY_FILE
        damaged = change(path.read_text())  # type: ignore[operator]
        path.write_text(damaged)
        with pytest.raises(ConfigurationError, match="damaged; restore"):
            load_or_create_master_key(tmp_path)
        assert path.read_text() == damaged

    def test_one_that_others_may_read_is_refused(self, tmp_path: Path) -> None:
        load_or_create_master_key(tmp_path)
        (tmp_path / KEY_FILE).chmod(0o640)
        with pytest.raises(ConfigurationError, match=r"0640.*chmod 600"):
            load_master_key(tmp_path / KEY_FILE)

    def test_a_folder_in_its_place_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / KEY_FILE).mkdir(mode=0o700)
        with pytest.raises(ConfigurationError, match="content key"):
            load_or_create_master_key(tmp_path)

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(ConfigurationError, match="cannot be created"):
            load_or_create_master_key(tmp_path / "file")


class TestKey:
    def test_it_wraps_for_one_place_alone(self) -> None:
        master = MasterKey(b"m" * 32)
        wrapped = master.wrap("p", b"i" * 16, b"k" * 32)
        assert len(wrapped) == 60
        assert master.unwrap("p", b"i" * 16, wrapped) == b"k" * 32
        assert master.unwrap("q", b"i" * 16, wrapped) is None
        assert master.unwrap("p", b"j" * 16, wrapped) is None
        assert MasterKey(b"n" * 32).unwrap("p", b"i" * 16, wrapped) is None
        assert master.unwrap("p", b"i" * 16, b"short") is None

    def test_subjects_are_told_apart_by_project_name_and_key(self) -> None:
        master = MasterKey(b"m" * 32)
        digests = {master.digest_subject(*pair) for pair in [("p", "ann"), ("p", "bob"), ("q", "ann"), ("p", "\ud800")]}
        assert len(digests) == 4
        assert master.digest_subject("p", "ann") in digests
        assert MasterKey(b"n" * 32).digest_subject("p", "ann") not in digests

    def test_its_representation_shows_nothing(self) -> None:
        assert "mmm" not in repr(MasterKey(b"m" * 32))


class TestStart:
    def test_another_machine_without_the_file_is_refused(self, database: Database, tmp_path: Path) -> None:
        start(database, tmp_path)
        with pytest.raises(ConfigurationError, match=r"missing; restore .*CUSTODES_PRIVACY__KEY_DIR"):
            start(database, tmp_path / "other")
        assert not (tmp_path / "other" / KEY_FILE).exists()

    def test_another_key_is_refused_by_fingerprint(self, database: Database, tmp_path: Path) -> None:
        start(database, tmp_path)
        other = load_or_create_master_key(tmp_path / "other").fingerprint.hex()
        with pytest.raises(ConfigurationError, match=other):
            start(database, tmp_path / "other")

    def test_the_same_file_elsewhere_will_do(self, database: Database, tmp_path: Path) -> None:
        start(database, tmp_path)
        (tmp_path / KEY_FILE).rename(tmp_path / "moved")
        (tmp_path / "keys").mkdir()
        (tmp_path / "moved").rename(tmp_path / "keys" / KEY_FILE)
        settings = Settings(data_dir=tmp_path, privacy=PrivacySettings(key_dir=tmp_path / "keys"))
        open_contents(database, settings, Metrics(), lambda: 0)

    def test_without_encryption_it_is_missed_when_an_endpoint_keeps_a_secret(
        self, database: Database, tmp_path: Path, secret_box: MasterSecretBox
    ) -> None:
        start(database, tmp_path / "none", encrypt=False)
        create_endpoint(
            database,
            secret_box,
            "default",
            "oncall",
            EndpointSpec(url="https://a.example"),
            Actor("ann", "operator"),
            0,
        )
        with pytest.raises(ConfigurationError, match="secrets of endpoints are encrypted"):
            start(database, tmp_path / "none", encrypt=False)

    def test_without_encryption_it_is_missed_only_when_something_is_encrypted(
        self, database: Database, tmp_path: Path
    ) -> None:
        start(database, tmp_path / "none", encrypt=False)
        contents = start(database, tmp_path)
        start(database, tmp_path / "none", encrypt=False)
        packed = contents.pack("default", [("ann", AAD, b"{}")])
        with database.write() as tx:
            contents.keep_keys(tx, packed)
        with pytest.raises(ConfigurationError, match="missing"):
            start(database, tmp_path / "none", encrypt=False)
