from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.bundles import (
    MANIFEST_FILE,
    Bundle,
    BundleFault,
    has_bundle,
    import_bundle,
    list_bundles,
    open_bundle,
    read_bundle,
    verify_bundle,
)
from detectors.errors import ModelFileError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "downloads" / "tiny-model"
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights" * 1000)
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer" / "vocab.txt").write_text("a\nb\n")
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def bundle(source: Path, models: Path) -> Bundle:
    return import_bundle(source, models)


class TestImporting:
    def test_it_pins_every_file_under_the_folders_name(self, source: Path, models: Path) -> None:
        made = import_bundle(source, models)
        assert (made.name, made.path) == ("tiny-model", models / "tiny-model")
        assert [one.path for one in made.files] == ["config.json", "model.safetensors", "tokenizer/vocab.txt"]
        assert made.files[0].sha256 == hashlib.sha256(b"{}").hexdigest()
        assert made.files[1].size_bytes == 7000
        assert read_bundle(models, "tiny-model") == made == open_bundle(models, "tiny-model")

    def test_it_gives_a_digest_that_sha256sum_gives_too(self, bundle: Bundle) -> None:
        command = r"LC_ALL=C find . -type f | sed 's|^./||' | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum"
        printed = subprocess.run(command, shell=True, cwd=bundle.path, capture_output=True, text=True, check=True)
        assert bundle.digest == "sha256:" + printed.stdout.split()[0]

    def test_it_leaves_the_source_alone_and_hidden_files_out(self, source: Path, models: Path) -> None:
        (source / ".git").mkdir()
        (source / ".git" / "config").write_text("x")
        (source / ".cache").write_text("x")
        assert len(import_bundle(source, models).files) == 3
        assert sorted(one.name for one in source.iterdir()) == [
            ".cache", ".git", "config.json", "model.safetensors", "tokenizer",
        ]  # fmt: skip

    def test_it_follows_links_to_files_as_hub_caches_have_them(self, source: Path, models: Path) -> None:
        blob = source.parent / "blob"
        blob.write_text("from elsewhere")
        (source / "extra.json").symlink_to(blob)
        made = import_bundle(source, models)
        copied = made.file("extra.json")
        assert not copied.is_symlink()
        assert copied.read_text() == "from elsewhere"

    def test_it_replaces_a_bundle_of_the_same_name(self, source: Path, models: Path, bundle: Bundle) -> None:
        (source / "config.json").write_text('{"new": 1}')
        (source / "model.safetensors").unlink()
        again = import_bundle(source, models)
        assert again.digest != bundle.digest
        assert verify_bundle(again) == []
        assert [one.name for one in list_bundles(models)] == ["tiny-model"]

    def test_it_keeps_the_other_bundles(self, source: Path, models: Path, bundle: Bundle) -> None:
        other = import_bundle(source, models, "another-1.0")
        assert list_bundles(models) == [other, bundle]
        assert sorted(one.name for one in models.iterdir()) == ["another-1.0", MANIFEST_FILE, "tiny-model"]

    @pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", ".hidden", "a" * 129, "a b", "manifest\n"])
    def test_it_refuses_names_that_are_no_plain_folder(self, source: Path, models: Path, name: str) -> None:
        with pytest.raises(ModelFileError, match="cannot be named"):
            import_bundle(source, models, name)
        assert not models.exists()

    def test_it_refuses_what_is_no_folder_or_holds_nothing(self, source: Path, models: Path) -> None:
        with pytest.raises(ModelFileError, match="not a folder"):
            import_bundle(source / "config.json", models)
        (source.parent / "bare").mkdir()
        with pytest.raises(ModelFileError, match="no file"):
            import_bundle(source.parent / "bare", models)

    def test_it_refuses_pipes_and_leaves_nothing_behind(self, source: Path, models: Path) -> None:
        os.mkfifo(source / "pipe")
        with pytest.raises(ModelFileError, match="plain files only"):
            import_bundle(source, models)
        assert list(models.iterdir()) == []

    @pytest.mark.parametrize("name", ["new\nline", "bell\a", "half\udc80"])
    def test_it_refuses_file_names_that_cannot_be_printed(self, source: Path, models: Path, name: str) -> None:
        (source / name).write_text("")
        with pytest.raises(ModelFileError, match="cannot be printed"):
            import_bundle(source, models)
        assert list(models.iterdir()) == []

    def test_it_refuses_to_import_a_bundle_into_itself(self, bundle: Bundle, models: Path) -> None:
        with pytest.raises(ModelFileError, match="inside each other"):
            import_bundle(bundle.path, models)
        with pytest.raises(ModelFileError, match="inside each other"):
            import_bundle(models, models, "all")
        assert verify_bundle(bundle) == []


def change_a_byte(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[3500] ^= 1
    (folder / "model.safetensors").write_bytes(content)


def link_to_a_twin(folder: Path) -> None:
    twin = folder.parent / "twin"
    twin.write_bytes((folder / "config.json").read_bytes())
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(twin)


class TestVerifying:
    @pytest.mark.parametrize(
        ("harm", "expected"),
        [
            (change_a_byte, BundleFault("model.safetensors", "changed")),
            (lambda folder: (folder / "config.json").write_text("{} "), BundleFault("config.json", "changed")),
            (link_to_a_twin, BundleFault("config.json", "changed")),
            (lambda folder: (folder / "tokenizer/vocab.txt").unlink(), BundleFault("tokenizer/vocab.txt", "missing")),
            (lambda folder: (folder / "tokenizer/more.py").write_text(""), BundleFault("tokenizer/more.py", "extra")),
            (lambda folder: (folder / ".hidden").write_text(""), BundleFault(".hidden", "extra")),
            (lambda folder: (folder / "up").symlink_to(folder.parent), BundleFault("up", "extra")),
        ],
    )
    def test_it_names_the_file_that_is_not_as_pinned(
        self, models: Path, bundle: Bundle, harm: Callable[[Path], object], expected: BundleFault
    ) -> None:
        harm(bundle.path)
        assert verify_bundle(bundle) == [expected]
        with pytest.raises(ModelFileError, match=expected.path):
            open_bundle(models, bundle.name)

    def test_it_names_all_of_a_bundle_that_is_gone(self, models: Path, bundle: Bundle) -> None:
        bundle.path.rename(models.parent / "gone")
        assert [one.fault for one in verify_bundle(bundle)] == ["missing"] * 3

    def test_it_refuses_a_file_the_bundle_does_not_pin(self, bundle: Bundle) -> None:
        with pytest.raises(ModelFileError, match=r"holds no weights\.bin; it holds config\.json"):
            bundle.file("weights.bin")


class TestManifest:
    def test_it_lists_nothing_where_nothing_was_imported(self, models: Path) -> None:
        assert list_bundles(models) == []
        assert not has_bundle(models, "tiny-model")
        with pytest.raises(ModelFileError, match="there is none; import one"):
            read_bundle(models, "tiny-model")

    def test_it_names_the_bundles_there_are(self, models: Path, bundle: Bundle) -> None:
        with pytest.raises(ModelFileError, match="there are tiny-model"):
            read_bundle(models, "tiny")

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\xff",
            b"[]",
            b"{}",
            b'{"version": 2, "bundles": {}}',
            b'{"version": 1, "bundles": []}',
            b'{"version": 1, "bundles": {"a": {"x": {"sha256": "12", "bytes": 1}}}}',
            b'{"version": 1, "bundles": {"../a": {}}}',
        ],
    )
    def test_it_refuses_a_manifest_it_cannot_read(self, models: Path, content: bytes) -> None:
        models.mkdir()
        (models / MANIFEST_FILE).write_bytes(content)
        with pytest.raises(ModelFileError, match=MANIFEST_FILE):
            list_bundles(models)

    @pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a/../../b", "", "a//b", "./a"])
    def test_it_refuses_paths_that_lead_out_of_the_bundle(self, models: Path, path: str) -> None:
        models.mkdir()
        pinned = {"sha256": "0" * 64, "bytes": 1}
        (models / MANIFEST_FILE).write_text(json.dumps({"version": 1, "bundles": {"a": {path: pinned}}}))
        with pytest.raises(ModelFileError, match="file path"):
            read_bundle(models, "a")
