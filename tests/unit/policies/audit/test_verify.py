"""The offline verifier: every changed byte of every file, every removal, addition and swap, and every exit code."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custodes.db import Database, open_database
from policies.audit import store
from policies.audit.keys import LogKey
from policies.audit.merkle import leaf_hash
from policies.audit.note import COSIGNATURE, VerifierKey, cosign, parse_note
from policies.audit.tile_tree import TileEdge
from policies.audit.tiles import decode_entries, encode_entries, list_tiles
from policies.audit.verify import Code, Verdict, main, verify_bundle

Bench = Any
WITNESS = Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34)))
WITNESS_KEY = VerifierKey("witness.example/w", COSIGNATURE, WITNESS.public_key().public_bytes_raw())


@pytest.fixture
def small(sqlite_url: str, make_bench: Callable[[Database], Bench]) -> Iterator[Bench]:
    """A log on SQLite; what is exported does not depend on the database."""
    database = open_database(sqlite_url)
    yield make_bench(database)
    database.dispose()


@pytest.fixture
def bundle(small: Bench, tmp_path: Path) -> Path:
    """An intact bundle of 300 leaves: full and partial tiles on two levels."""
    small.fill(300)
    folder: Path = small.export(tmp_path / "bundle")
    return folder


@pytest.fixture
def check(log_key: LogKey) -> Callable[..., Verdict]:
    """Verify with the right origin and key."""
    return lambda folder, **options: verify_bundle(folder, log_key.origin, log_key.verifier.to_text(), **options)


def all_files(folder: Path) -> list[Path]:
    """Return every file of a bundle."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def rewrite_tree(folder: Path, bodies: list[bytes]) -> None:
    """Replace tiles and bundles by those of other entries, as a forger without the key would."""
    shutil.rmtree(folder / "tile")
    edge = TileEdge()
    for body in bodies:
        edge.append(leaf_hash(body))
    kept = dict(edge.take_writes())
    for name in list_tiles(len(bodies)):
        path = folder / name.to_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(kept[name])
        if name.level == 0:
            entries = folder / name.to_path().replace("tile/0", "tile/entries")
            entries.parent.mkdir(parents=True, exist_ok=True)
            entries.write_bytes(encode_entries(bodies[name.start : name.start + name.width]))


def read_bodies(folder: Path) -> list[bytes]:
    """Return all entries of the 300-leaf bundle."""
    parts = (folder / "tile/entries/000", folder / "tile/entries/001.p/44")
    return [body for part in parts for body in decode_entries(part.read_bytes())]


class TestIntact:
    def test_it_says_what_it_found(self, bundle: Path, check: Callable[..., Verdict], log_key: LogKey) -> None:
        verdict = check(bundle)
        assert verdict.code == Code.INTACT, verdict.message
        assert verdict.details["origin"] == log_key.origin
        assert (verdict.details["size"], verdict.details["end"]) == (300, 300)
        assert verdict.details["first_time"] == "2026-11-28T10:00:00.000000Z"
        assert verdict.details["last_time"] == "2026-11-28T10:04:59.000000Z"

    @pytest.mark.parametrize("count", [0, 1, 2, 255, 256, 257, 512])
    def test_it_accepts_logs_of_every_shape(
        self, small: Bench, tmp_path: Path, check: Callable[..., Verdict], count: int
    ) -> None:
        small.fill(count)
        assert check(small.export(tmp_path / "out")).code == Code.INTACT

    def test_it_accepts_a_bundle_reached_through_a_link(
        self, bundle: Path, tmp_path: Path, check: Callable[..., Verdict]
    ) -> None:
        (tmp_path / "link").symlink_to(bundle)
        assert check(tmp_path / "link").code == Code.INTACT

    def test_it_accepts_an_entry_that_is_not_json_because_the_log_holds_it(
        self, small: Bench, tmp_path: Path, check: Callable[..., Verdict]
    ) -> None:
        small.log.verify_state()
        with small.database.write() as tx:
            store.add_intake(tx, 1, b"\xff\n")
        small.log.flush()
        verdict = check(small.export(tmp_path / "out"))
        assert verdict.code == Code.INTACT
        assert verdict.details["unreadable_entries"] == 1

    def test_it_reports_progress(self, bundle: Path, check: Callable[..., Verdict]) -> None:
        seen: list[tuple[int, int]] = []
        check(bundle, progress=lambda done, total: seen.append((done, total)))
        assert seen == [(256, 300), (300, 300)]


class TestChangedBytes:
    def test_it_finds_every_changed_byte_of_a_small_bundle(
        self, small: Bench, tmp_path: Path, check: Callable[..., Verdict]
    ) -> None:
        small.fill(2)
        folder = small.export(tmp_path / "out")
        for path in all_files(folder):
            data = path.read_bytes()
            for at in range(len(data)):
                path.write_bytes(data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :])
                verdict = check(folder)
                assert verdict.code != Code.INTACT, f"{path.name} byte {at}"
            path.write_bytes(data)
        assert check(folder).code == Code.INTACT

    def test_it_calls_a_changed_byte_of_a_leaf_or_tile_tampered(
        self, bundle: Path, check: Callable[..., Verdict]
    ) -> None:
        chance = random.Random(20261121)
        for path in all_files(bundle / "tile"):
            data = path.read_bytes()
            for at in {0, len(data) - 1, *(chance.randrange(len(data)) for _ in range(40))}:
                path.write_bytes(data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :])
                assert check(bundle).code == Code.TAMPERED, f"{path} byte {at}"
            path.write_bytes(data)

    def test_it_calls_a_changed_byte_of_the_signed_text_tampered(
        self, bundle: Path, check: Callable[..., Verdict]
    ) -> None:
        path = bundle / "checkpoint"
        data = path.read_bytes()
        for at in range(len(data)):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            assert check(bundle).code == Code.TAMPERED, f"byte {at}"

    def test_it_finds_bytes_added_to_or_cut_from_any_file(self, bundle: Path, check: Callable[..., Verdict]) -> None:
        for path in all_files(bundle):
            data = path.read_bytes()
            for changed in (data + b"\x00", data + b"\n", data[:-1], data[1:], b"", data + data):
                path.write_bytes(changed)
                assert check(bundle).code != Code.INTACT, path
            path.write_bytes(data)


class TestForgery:
    def test_it_finds_an_entry_replaced_with_its_tiles(self, bundle: Path, check: Callable[..., Verdict]) -> None:
        bodies = read_bodies(bundle)
        bodies[17] = bodies[17].replace(b"operator", b"approver")
        rewrite_tree(bundle, bodies)
        verdict = check(bundle)
        assert verdict.code == Code.TAMPERED

    @pytest.mark.parametrize(
        "change",
        [
            lambda bodies: [*bodies[:5], bodies[6], bodies[5], *bodies[7:]],
            lambda bodies: [*bodies, bodies[0]],
            lambda bodies: [b"{}", *bodies[:-1]],
            lambda bodies: bodies[:-1],
            lambda bodies: bodies[:200],
        ],
        ids=["reordered", "extra", "inserted", "one less", "fewer tiles"],
    )
    def test_it_finds_a_tree_rebuilt_over_other_entries(
        self, bundle: Path, check: Callable[..., Verdict], change: Callable[[list[bytes]], list[bytes]]
    ) -> None:
        rewrite_tree(bundle, change(read_bodies(bundle)))
        assert check(bundle).code in (Code.TAMPERED, Code.TRUNCATED)

    def test_it_finds_two_entries_swapped_inside_a_bundle(self, bundle: Path, check: Callable[..., Verdict]) -> None:
        path = bundle / "tile/entries/000"
        entries = decode_entries(path.read_bytes())
        entries[3], entries[4] = entries[4], entries[3]
        path.write_bytes(encode_entries(entries))
        assert check(bundle).code == Code.TAMPERED

    def test_it_finds_an_entry_more_in_a_bundle(self, bundle: Path, check: Callable[..., Verdict]) -> None:
        path = bundle / "tile/entries/001.p/44"
        path.write_bytes(path.read_bytes() + b"\x00\x02{}")
        assert check(bundle).code == Code.TAMPERED

    def test_it_finds_a_readable_copy_that_tells_another_story(
        self, bundle: Path, check: Callable[..., Verdict]
    ) -> None:
        path = bundle / "entries.jsonl"
        path.write_bytes(path.read_bytes().replace(b"user/u-1", b"user/u-2", 1))
        verdict = check(bundle)
        assert verdict.code == Code.TAMPERED
        assert "entry 1" in verdict.message

    @pytest.mark.parametrize(
        "name", ["extra", "tile/0/002", "tile/0/001.p/10", "tile/entries/001.p/7", "tile/0/000.p/9"]
    )
    def test_it_reports_a_file_that_does_not_belong(
        self, bundle: Path, check: Callable[..., Verdict], name: str
    ) -> None:
        path = bundle / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        verdict = check(bundle)
        assert verdict.code == Code.TAMPERED

    @pytest.mark.parametrize("make", [os.symlink, lambda target, path: os.mkfifo(path)])
    def test_it_reports_links_and_special_files_without_opening_them(
        self, bundle: Path, check: Callable[..., Verdict], make: Callable[[str, str], None]
    ) -> None:
        make("/etc/hostname", str(bundle / "extra"))
        assert check(bundle).code == Code.TAMPERED

    def test_it_reports_a_linked_folder(self, bundle: Path, tmp_path: Path, check: Callable[..., Verdict]) -> None:
        shutil.move(bundle / "tile", tmp_path / "tile")
        (bundle / "tile").symlink_to(tmp_path / "tile")
        assert check(bundle).code == Code.TAMPERED


class TestMissing:
    def test_it_never_accepts_a_bundle_with_a_file_missing(self, bundle: Path, check: Callable[..., Verdict]) -> None:
        for path in all_files(bundle):
            data = path.read_bytes()
            path.unlink()
            assert check(bundle).code != Code.INTACT, path
            path.write_bytes(data)

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("checkpoint", Code.UNVERIFIABLE),
            ("manifest.json", Code.UNVERIFIABLE),
            ("entries.jsonl", Code.TAMPERED),
            ("tile/0/000", Code.TAMPERED),
            ("tile/entries/000", Code.TAMPERED),
            ("tile/0/001.p/44", Code.TRUNCATED),
            ("tile/entries/001.p/44", Code.TRUNCATED),
            ("tile/1/000.p/1", Code.TRUNCATED),
        ],
    )
    def test_it_tells_a_hole_from_a_cut_tail(
        self, bundle: Path, check: Callable[..., Verdict], name: str, code: Code
    ) -> None:
        (bundle / name).unlink()
        assert check(bundle).code == code

    def test_it_calls_a_last_tile_cut_short_truncated(self, bundle: Path, check: Callable[..., Verdict]) -> None:
        path = bundle / "tile/0/001.p/44"
        path.write_bytes(path.read_bytes()[:-32])
        assert check(bundle).code == Code.TRUNCATED

    def test_it_calls_a_bundle_without_its_last_entries_truncated(
        self, bundle: Path, check: Callable[..., Verdict]
    ) -> None:
        path = bundle / "tile/entries/001.p/44"
        path.write_bytes(encode_entries(decode_entries(path.read_bytes())[:-3]))
        assert check(bundle).code == Code.TRUNCATED


class TestKeysAndOrigin:
    def test_it_cannot_verify_with_the_key_of_another(self, bundle: Path, other_key: LogKey) -> None:
        assert verify_bundle(bundle, other_key.origin, other_key.verifier.to_text()).code == Code.UNVERIFIABLE

    def test_it_cannot_verify_a_bundle_signed_again_by_another(
        self, bundle: Path, other_key: LogKey, check: Callable[..., Verdict]
    ) -> None:
        checkpoint = other_key.sign_checkpoint(300, bytes(32))
        (bundle / "checkpoint").write_text(checkpoint.note)
        assert check(bundle).code == Code.UNVERIFIABLE

    def test_it_cannot_verify_another_origin(self, bundle: Path, log_key: LogKey) -> None:
        assert verify_bundle(bundle, "custodes/other", log_key.verifier.to_text()).code == Code.UNVERIFIABLE

    @pytest.mark.parametrize("vkey", ["", "nonsense", "a+00000000+AAAA", "\udcff"])
    def test_it_cannot_verify_with_a_malformed_key(self, bundle: Path, log_key: LogKey, vkey: str) -> None:
        verdict = verify_bundle(bundle, log_key.origin, vkey)
        assert verdict.code == Code.UNVERIFIABLE
        assert verdict.message.startswith("--key")

    @pytest.mark.parametrize("name", ["missing", "file", "nul\x00"])
    def test_it_cannot_verify_what_is_not_a_folder(
        self, tmp_path: Path, check: Callable[..., Verdict], name: str
    ) -> None:
        (tmp_path / "file").write_text("")
        assert check(tmp_path / name).code == Code.UNVERIFIABLE

    def test_it_does_not_believe_a_checkpoint_that_promises_an_endless_log(
        self, bundle: Path, log_key: LogKey, check: Callable[..., Verdict]
    ) -> None:
        (bundle / "checkpoint").write_text(log_key.sign_checkpoint(2**63 - 1, bytes(32)).note)
        assert check(bundle).code != Code.INTACT


class TestForkAndStale:
    def keep_checkpoint(self, folder: Path, tmp_path: Path) -> Path:
        """Put a bundle's checkpoint aside, as an auditor would."""
        kept = tmp_path / "kept.checkpoint"
        kept.write_bytes((folder / "checkpoint").read_bytes())
        return kept

    @pytest.mark.parametrize("earlier", [0, 1, 255, 256, 257, 299])
    def test_it_accepts_a_bundle_that_extends_an_earlier_checkpoint(
        self, small: Bench, tmp_path: Path, check: Callable[..., Verdict], earlier: int
    ) -> None:
        small.fill(earlier)
        kept = self.keep_checkpoint(small.export(tmp_path / "old"), tmp_path)
        small.add(earlier, 300)
        small.log.flush()
        assert check(small.export(tmp_path / "new"), since_checkpoint=kept).code == Code.INTACT

    def test_it_calls_a_bundle_older_than_the_checkpoint_truncated(
        self, small: Bench, bundle: Path, tmp_path: Path, check: Callable[..., Verdict]
    ) -> None:
        small.add(300, 301)
        small.log.flush()
        kept = self.keep_checkpoint(small.export(tmp_path / "new"), tmp_path)
        assert check(bundle).code == Code.INTACT
        assert check(bundle, since_checkpoint=kept).code == Code.TRUNCATED

    @pytest.mark.parametrize(("old_size", "new_size"), [(5, 5), (5, 300), (256, 300), (300, 300)])
    def test_it_calls_another_history_under_the_same_key_a_fork(
        self,
        small: Bench,
        tmp_path: Path,
        check: Callable[..., Verdict],
        log_key: LogKey,
        old_size: int,
        new_size: int,
    ) -> None:
        kept = tmp_path / "kept.checkpoint"
        kept.write_text(log_key.sign_checkpoint(old_size, leaf_hash(b"another history")).note)
        small.fill(new_size)
        folder = small.export(tmp_path / "out")
        assert check(folder).code == Code.INTACT
        assert check(folder, since_checkpoint=kept).code == Code.FORKED

    def test_it_calls_two_signed_heads_of_one_size_in_one_bundle_a_fork(
        self, bundle: Path, check: Callable[..., Verdict], log_key: LogKey
    ) -> None:
        (bundle / "checkpoint").write_text(log_key.sign_checkpoint(300, leaf_hash(b"another history")).note)
        assert check(bundle).code == Code.FORKED

    def test_it_calls_a_bundle_put_back_to_an_older_checkpoint_stale(
        self, small: Bench, tmp_path: Path, check: Callable[..., Verdict]
    ) -> None:
        small.fill(10)
        kept = self.keep_checkpoint(small.export(tmp_path / "old"), tmp_path)
        small.add(10, 300)
        small.log.flush()
        folder = small.export(tmp_path / "new")
        shutil.copy(kept, folder / "checkpoint")
        assert check(folder).code == Code.TRUNCATED

    def test_it_cannot_use_an_earlier_checkpoint_of_another_log(
        self, bundle: Path, tmp_path: Path, check: Callable[..., Verdict], other_key: LogKey
    ) -> None:
        kept = tmp_path / "kept"
        kept.write_text(other_key.sign_checkpoint(5, bytes(32)).note)
        assert check(bundle, since_checkpoint=kept).code == Code.UNVERIFIABLE
        assert check(bundle, since_checkpoint=tmp_path / "absent").code == Code.UNVERIFIABLE

    def test_it_does_not_accept_a_range_narrowed_without_the_key(
        self, bundle: Path, check: Callable[..., Verdict]
    ) -> None:
        manifest = json.loads((bundle / "manifest.json").read_bytes())
        manifest["end"] = 256
        (bundle / "manifest.json").write_text(json.dumps(manifest, sort_keys=True, indent=2, ensure_ascii=False) + "\n")
        (bundle / "tile/entries/001.p/44").unlink()
        lines = (bundle / "entries.jsonl").read_bytes().splitlines(keepends=True)
        (bundle / "entries.jsonl").write_bytes(b"".join(lines[:256]))
        assert check(bundle).code == Code.TAMPERED


class TestWitnesses:
    def cosigned(self, folder: Path, at_s: int = 1_795_860_100) -> Path:
        """Add the witness's line to a bundle's checkpoint."""
        path = folder / "checkpoint"
        path.write_text(cosign(parse_note(path.read_bytes()), "witness.example/w", WITNESS, at_s).to_text())
        return folder

    def test_it_gives_the_time_each_witness_signed(self, bundle: Path, check: Callable[..., Verdict]) -> None:
        verdict = check(self.cosigned(bundle), witness_vkeys=[WITNESS_KEY.to_text()])
        assert verdict.code == Code.INTACT, verdict.message
        assert verdict.details["witnesses"] == {"witness.example/w": 1_795_860_100}

    def test_it_cannot_verify_without_a_witness_that_was_asked_for(
        self, bundle: Path, check: Callable[..., Verdict]
    ) -> None:
        assert check(bundle, witness_vkeys=[WITNESS_KEY.to_text()]).code == Code.UNVERIFIABLE

    def test_it_finds_a_cosignature_of_another_head(
        self, bundle: Path, check: Callable[..., Verdict], log_key: LogKey
    ) -> None:
        other = cosign(parse_note(log_key.sign_checkpoint(5, bytes(32)).note.encode()), "witness.example/w", WITNESS, 1)
        path = bundle / "checkpoint"
        path.write_text(path.read_text() + other.signatures[-1].to_line() + "\n")
        assert check(bundle, witness_vkeys=[WITNESS_KEY.to_text()]).code == Code.TAMPERED

    def test_it_says_how_many_signatures_it_ignored(self, bundle: Path, check: Callable[..., Verdict]) -> None:
        verdict = check(self.cosigned(bundle))
        assert verdict.code == Code.INTACT
        assert verdict.details["ignored_signatures"] == 1


class TestCommand:
    def arguments(self, bundle: Path, log_key: LogKey) -> list[str]:
        return [str(bundle), "--origin", log_key.origin, "--key", log_key.verifier.to_text()]

    def test_it_prints_one_sentence_and_exits_with_the_code(
        self, bundle: Path, log_key: LogKey, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(self.arguments(bundle, log_key)) == 0
        assert capsys.readouterr().out.startswith("intact: 300 leaves")
        (bundle / "extra").write_text("")
        assert main([*self.arguments(bundle, log_key), "--json"]) == 2
        assert json.loads(capsys.readouterr().out)["code"] == 2

    def test_it_never_says_tampered_for_wrong_usage(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as raised:
            main(["--nonsense"])
        assert raised.value.code == 5
        assert "usage" in capsys.readouterr().err

    def test_it_runs_with_the_standard_library_and_cryptography_only(
        self, bundle: Path, log_key: LogKey, tmp_path: Path
    ) -> None:
        allowed = {*sys.stdlib_module_names, "cryptography", "policies", "_cffi_backend", "cffi", "__main__"}
        source = Path(__file__).parents[4] / "policies"
        shutil.copytree(source / "audit", tmp_path / "alone/policies/audit")
        program = (
            "import sys, policies.audit.verify as v; code = v.main(sys.argv[1:]);"
            "print(*sorted({name.partition('.')[0] for name in sys.modules})); sys.exit(code)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, *self.arguments(bundle, log_key)],
            cwd=tmp_path / "alone",
            env={"PYTHONPATH": str(tmp_path / "alone"), "PYTHONNOUSERSITE": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        loaded = set(done.stdout.splitlines()[-1].split())
        assert {name for name in loaded if not name.startswith("_")} <= allowed
        assert not {"sqlalchemy", "custodes", "rfc8785", "orjson"} & loaded
