"""The key file: created once, private, and never guessed around when damaged."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from policies.audit.errors import LogKeyError
from policies.audit.keys import KEY_FILE, LogKey, load_key, load_or_create_key

GO_LINE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a key file with a mode."""
    path.write_text(text)
    path.chmod(mode)
    return path


class TestCreate:
    def test_it_makes_a_key_only_the_owner_can_read(self, tmp_path: Path) -> None:
        load_or_create_key(tmp_path)
        assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600

    def test_it_leaves_no_other_file_behind(self, tmp_path: Path) -> None:
        load_or_create_key(tmp_path)
        assert os.listdir(tmp_path) == [KEY_FILE]

    def test_it_returns_the_same_identity_ever_after(self, tmp_path: Path) -> None:
        first = load_or_create_key(tmp_path)
        assert load_or_create_key(tmp_path).verifier == first.verifier

    def test_it_gives_each_installation_its_own_origin(self, tmp_path: Path) -> None:
        first, second = load_or_create_key(tmp_path / "a"), load_or_create_key(tmp_path / "b")
        assert first.origin != second.origin
        assert first.origin.startswith("custodes/")
        assert len(first.origin) == len("custodes/") + 16

    def test_it_agrees_on_one_key_when_many_start_at_once(self, tmp_path: Path) -> None:
        with ThreadPoolExecutor(8) as pool:
            keys = list(pool.map(lambda _: load_or_create_key(tmp_path), range(16)))
        assert len({key.verifier for key in keys}) == 1

    def test_it_names_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(LogKeyError, match="writable"):
            load_or_create_key(tmp_path / "file")


class TestLoad:
    def test_it_reads_a_signing_key_of_the_go_tools(self, tmp_path: Path) -> None:
        key = load_key(write(tmp_path / KEY_FILE, GO_LINE + "\n"))
        assert key.verifier.to_text() == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o610, 0o601])
    def test_it_refuses_a_key_that_others_may_touch_and_says_what_to_do(self, tmp_path: Path, mode: int) -> None:
        path = write(tmp_path / KEY_FILE, GO_LINE, mode)
        with pytest.raises(LogKeyError, match="chmod 600"):
            load_key(path)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "\n",
            "nonsense",
            GO_LINE[:-1],
            GO_LINE + "A",
            GO_LINE.replace("c74f20a3", "c74f20a4"),
            GO_LINE.replace("Peter", "Piter"),
            GO_LINE.replace("+AYEK", "+BYEK"),
            GO_LINE + "\n\n",
            "PRIVATE+KEY+" + "x" * 5000,
            "\xff",
        ],
    )
    def test_it_refuses_a_damaged_key_and_keeps_the_file(self, tmp_path: Path, text: str) -> None:
        path = write(tmp_path / KEY_FILE, text)
        with pytest.raises(LogKeyError, match=r"damaged.*backup") as raised:
            load_or_create_key(tmp_path)
        assert path.read_text() == text
        assert "AYEKFALV" not in str(raised.value)

    def test_it_says_when_there_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(LogKeyError, match="backup"):
            load_key(tmp_path / KEY_FILE)

    def test_it_does_not_replace_a_dangling_link(self, tmp_path: Path) -> None:
        (tmp_path / KEY_FILE).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(LogKeyError):
            load_or_create_key(tmp_path)

    @pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: os.mkfifo(path, 0o600)])
    def test_it_refuses_anything_but_a_file_without_hanging(self, tmp_path: Path, make: object) -> None:
        assert callable(make)
        make(tmp_path / KEY_FILE)
        with pytest.raises(LogKeyError):
            load_key(tmp_path / KEY_FILE)


def test_it_never_shows_the_private_key(log_key: LogKey) -> None:
    assert "private" not in repr(log_key)
