"""Export bundles: complete or absent, with exactly the files of the layout."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from policies.audit import store
from policies.audit.errors import ExportError, NoteError
from policies.audit.export import export_bundle
from policies.audit.keys import LogKey
from policies.audit.verify import Code, verify_bundle

Bench = Any
START_NS = 1_795_860_000_000_000_000
SECOND_NS = 1_000_000_000


def list_files(folder: Path) -> set[str]:
    """Return the relative paths of all files."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


class TestExport:
    def test_it_writes_the_tlog_tiles_layout_and_two_files_beside(self, bench: Bench, tmp_path: Path) -> None:
        bench.fill(300)
        assert list_files(bench.export(tmp_path / "out")) == {
            "checkpoint",
            "manifest.json",
            "entries.jsonl",
            "tile/0/000",
            "tile/0/001.p/44",
            "tile/1/000.p/1",
            "tile/entries/000",
            "tile/entries/001.p/44",
        }

    def test_it_writes_a_bundle_that_verifies(self, bench: Bench, tmp_path: Path) -> None:
        bench.fill(300)
        verdict = verify_bundle(bench.export(tmp_path / "out"), bench.key.origin, bench.key.verifier.to_text())
        assert verdict.code == Code.INTACT, verdict.message
        assert (verdict.details["first"], verdict.details["end"]) == (0, 300)

    def test_it_exports_an_empty_log(self, bench: Bench, tmp_path: Path) -> None:
        bench.fill(0)
        folder = bench.export(tmp_path / "out")
        assert list_files(folder) == {"checkpoint", "manifest.json", "entries.jsonl"}
        assert verify_bundle(folder, bench.key.origin, bench.key.verifier.to_text()).code == Code.INTACT

    def test_it_shows_each_entry_as_a_line_of_json(self, bench: Bench, tmp_path: Path) -> None:
        bench.fill(3)
        lines = (bench.export(tmp_path / "out") / "entries.jsonl").read_bytes().splitlines()
        assert [json.loads(line)["seq"] for line in lines] == [0, 1, 2]
        assert json.loads(lines[2])["leaf"]["object"] == "policy/p-2"

    @pytest.mark.parametrize(
        ("from_s", "to_s", "first", "end"),
        [(None, None, 0, 600), (0, 256, 0, 256), (256, None, 256, 600), (300, 301, 256, 512), (None, 1, 0, 256)],
    )
    def test_it_widens_a_time_range_to_whole_bundles(
        self, bench: Bench, tmp_path: Path, from_s: int | None, to_s: int | None, first: int, end: int
    ) -> None:
        bench.fill(600)
        folder = bench.export(
            tmp_path / "out",
            None if from_s is None else START_NS + from_s * SECOND_NS,
            None if to_s is None else START_NS + to_s * SECOND_NS,
        )
        verdict = verify_bundle(folder, bench.key.origin, bench.key.verifier.to_text())
        assert verdict.code == Code.INTACT, verdict.message
        assert (verdict.details["first"], verdict.details["end"]) == (first, end)
        assert len((folder / "entries.jsonl").read_bytes().splitlines()) == end - first

    def test_it_exports_no_entries_for_a_range_without_any(self, bench: Bench, tmp_path: Path) -> None:
        bench.fill(5)
        folder = bench.export(tmp_path / "out", START_NS + 3600 * SECOND_NS, None)
        verdict = verify_bundle(folder, bench.key.origin, bench.key.verifier.to_text())
        assert verdict.code == Code.INTACT
        assert "0 entries included" in verdict.message

    def test_it_exports_one_moment_even_while_the_log_grows(self, bench: Bench, tmp_path: Path) -> None:
        bench.fill(5)
        with bench.database.read() as tx:
            store.load_latest_checkpoint(tx)
            bench.add(5, 300)
            bench.log.flush()
            exported = export_bundle(tx, tmp_path / "out", bench.key, now_ns=0)
        assert exported.checkpoint.size == 5
        assert verify_bundle(tmp_path / "out", bench.key.origin, bench.key.verifier.to_text()).code == Code.INTACT

    def test_it_reports_progress(self, bench: Bench, tmp_path: Path) -> None:
        bench.fill(300)
        seen: list[tuple[int, int]] = []
        with bench.database.read() as tx:
            export_bundle(
                tx, tmp_path / "out", bench.key, now_ns=0, progress=lambda done, total: seen.append((done, total))
            )
        assert seen[-1] == (8, 8)


class TestAllOrNothing:
    def test_it_uses_an_empty_folder(self, bench: Bench, tmp_path: Path) -> None:
        bench.fill(1)
        (tmp_path / "out").mkdir()
        folder = bench.export(tmp_path / "out")
        assert "checkpoint" in list_files(folder)
        assert [name for name in os.listdir(tmp_path) if name.startswith(".out")] == []

    def test_it_refuses_a_folder_with_something_in_it(self, bench: Bench, tmp_path: Path) -> None:
        bench.fill(1)
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine").write_text("keep")
        with pytest.raises(ExportError, match="not an empty folder"):
            bench.export(tmp_path / "out")
        assert list_files(tmp_path / "out") == {"mine"}

    def test_it_refuses_a_file_in_the_place(self, bench: Bench, tmp_path: Path) -> None:
        bench.fill(1)
        (tmp_path / "out").write_text("keep")
        with pytest.raises(ExportError):
            bench.export(tmp_path / "out")

    def test_it_leaves_nothing_when_it_fails_half_way(
        self, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench.fill(300)

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(store, "load_bodies", fail)
        with pytest.raises(ExportError, match="No space"):
            bench.export(tmp_path / "a" / "out")
        assert os.listdir(tmp_path / "a") == []

    def test_it_refuses_a_key_that_did_not_sign_the_log(self, bench: Bench, other_key: LogKey, tmp_path: Path) -> None:
        bench.fill(1)
        with bench.database.read() as tx, pytest.raises(NoteError):
            export_bundle(tx, tmp_path / "out", other_key, now_ns=0)
        assert not (tmp_path / "out").exists()
