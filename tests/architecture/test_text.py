"""What is committed speaks of Custodes only: no machine's paths, no package index, no lock files."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

TEXT = {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".cfg", ".ini", ".sh", ".mako", ".json", ".css", ".html", ""}
LOCK_FILES = re.compile(
    r"(poetry|uv|pdm|pixi|Pipfile|yarn|Cargo)\.lock|package-lock\.json|pnpm-lock\.yaml|pylock(\..+)?\.toml"
)
# Written in halves, so that this file does not contain what it looks for.
FORBIDDEN = re.compile(
    "|".join(
        [
            r"(?<![\w.}])/wo" + r"rk/",
            r"(?<![\w.}])/tm" + r"p/",
            r"/ro" + r"ot/",
            r"/ho" + r"me/\w+/",
            r"pypi\." + r"org/simple",
            r"python" + r"hosted",
            r"--(extra-)?index" + r"-url",
            r"--find" + r"-links",
            r"PIP_" + r"INDEX",
            r"PIP_" + r"EXTRA",
        ]
    )
)
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "item", "data"}


class TestText:
    def test_it_names_no_machine_and_no_package_index(self, root: Path, tracked_files: list[Path]) -> None:
        found = []
        for path in tracked_files:
            if path.suffix not in TEXT or path.stat().st_size > 1_000_000:
                continue
            try:
                lines = path.read_text(encoding="utf-8").splitlines()
            except UnicodeDecodeError:
                continue
            name = path.relative_to(root).as_posix()
            found += [
                f"{name}:{n}: {hit.group()}" for n, line in enumerate(lines, 1) if (hit := FORBIDDEN.search(line))
            ]
        assert found == []

    @pytest.mark.parametrize("text", ["see /wo" + "rk/main", "cd /tm" + "p/x", "--index" + "-url=x"])
    def test_it_recognises_what_it_looks_for(self, text: str) -> None:
        assert FORBIDDEN.search(text)

    def test_it_has_no_lock_file(self, tracked_files: list[Path]) -> None:
        assert [path.name for path in tracked_files if LOCK_FILES.fullmatch(path.name)] == []


class TestNames:
    def test_it_has_no_drawer_for_everything(self, sources: Mapping[str, ast.Module]) -> None:
        ours = [name for name in sources if not name.startswith("tests/")]
        assert [name for name in ours if FORBIDDEN_NAMES & set(name.removesuffix(".py").split("/"))] == []


class TestConstraints:
    def test_it_pins_versions_and_nothing_else(self, root: Path) -> None:
        lines = (root / "constraints.txt").read_text().splitlines()
        pins = [line for line in lines if not line.startswith("#")]
        assert [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line)] == []
        assert "torch==2.13.0" in pins
        assert len(pins) == len({line.split("==")[0].lower().replace("_", "-") for line in pins})

    def test_it_pins_everything_the_project_names(self, root: Path) -> None:
        import tomllib

        project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
        extras = [line for lines in project["optional-dependencies"].values() for line in lines]
        named = {
            re.split(r"[\[<>=!~; ]", line)[0].lower().replace("_", "-") for line in project["dependencies"] + extras
        }
        lines = (root / "constraints.txt").read_text().splitlines()
        pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
        assert named - pinned - {"custodes", "custodes-sdk"} == set()


class TestUnitTests:
    def test_it_never_sleeps(self, sources: Mapping[str, ast.Module]) -> None:
        sleepers = [
            f"{name}:{node.lineno}"
            for name, tree in sources.items()
            if name.startswith("tests/unit/")
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func).rsplit(".", 1)[-1] == "sleep"
            # asyncio.sleep(0) only lets another task run.
            if not (len(node.args) == 1 and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
        ]
        assert sleepers == []
