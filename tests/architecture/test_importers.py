"""Who may import what, beyond the arrows that import-linter checks."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

OURS = ("custodes/", "collector/", "detectors/", "policies/", "recognisers/", "ui/")
Imports = Callable[[ast.Module], set[str]]

# Rows never leave a store. Besides the database layer, the stores and the list queries, these hold SQL of their own;
# the list may only shrink.
SQL_FOLDERS = ("custodes/db/", "collector/rest/queries/")
SQL_ELSEWHERE = {
    "collector/exchanges.py",
    "custodes/runtime/batches.py",
    "custodes/runtime/demo/seed.py",
    "custodes/runtime/doctor.py",
    "custodes/runtime/heartbeat.py",
    "custodes/runtime/tasks.py",
}


def reads_environment(tree: ast.Module) -> bool:
    names = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in names:
            if isinstance(node.value, ast.Name) and node.value.id in {"os", "posix"}:
                return True
        elif isinstance(node, ast.ImportFrom) and node.module in {"os", "posix"} and named(node) & names:
            return True
    return False


def named(node: ast.ImportFrom) -> set[str]:
    return {alias.name for alias in node.names}


class TestSingleImporters:
    @pytest.mark.parametrize("package", ["evidently", "detoxify", "apscheduler", "ray"])
    def test_it_has_at_most_one_importing_module(
        self, sources: Mapping[str, ast.Module], imports_of: Imports, package: str
    ) -> None:
        importers = [
            name
            for name, tree in sources.items()
            if name.startswith(OURS) and package in {found.split(".")[0] for found in imports_of(tree)}
        ]
        assert len(importers) <= 1, importers

    def test_it_reads_the_environment_in_one_place(self, sources: Mapping[str, ast.Module]) -> None:
        readers = [name for name, tree in sources.items() if name.startswith(OURS) and reads_environment(tree)]
        assert readers == ["custodes/kernel/settings.py"]

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("import os\nos.environ['X']", True),
            ("import os\nos.getenv('X')", True),
            ("from os import environ", True),
            ("import os\nos.path.join('a')", False),
            ("environ = 1", False),
        ],
    )
    def test_it_recognises_a_reader(self, code: str, expected: bool) -> None:
        assert reads_environment(ast.parse(code)) is expected


class TestSql:
    def test_it_stays_in_the_database_layer_and_the_stores(
        self, sources: Mapping[str, ast.Module], imports_of: Imports
    ) -> None:
        writers = {
            name
            for name, tree in sources.items()
            if name.startswith(OURS) and "sqlalchemy" in {found.split(".")[0] for found in imports_of(tree)}
        }
        elsewhere = {name for name in writers if not name.startswith(SQL_FOLDERS) and "store" not in Path(name).stem}
        assert elsewhere - SQL_ELSEWHERE == set()
        assert SQL_ELSEWHERE - elsewhere == set(), "these hold no SQL any more: take them off the list"


class TestConsole:
    def test_it_imports_the_client_and_the_charts_only(
        self, root: Path, sources: Mapping[str, ast.Module], imports_of: Imports
    ) -> None:
        allowed = {"streamlit", "altair", "pandas", "custodes_sdk", "ui"} | set(sys.stdlib_module_names)
        # `streamlit run ui/app.py` puts ui/ first on the path, so its own modules have short names there.
        allowed |= {path.stem for path in (root / "ui").iterdir()}
        # Streamlit is a Starlette application; the one module that adds a route and headers to it speaks Starlette.
        door = {"starlette"}
        strangers = {
            name: sorted(foreign)
            for name, tree in sources.items()
            if name.startswith("ui/")
            and (
                foreign := {found.split(".")[0] for found in imports_of(tree)}
                - (allowed | door if name == "ui/door.py" else allowed)
            )
        }
        assert strangers == {}

    def test_it_names_no_module_like_the_standard_library_or_our_packages(self, root: Path) -> None:
        taken = set(sys.stdlib_module_names) | {
            "altair", "collector", "custodes", "custodes_sdk", "detectors", "migrations", "numpy", "pandas", "policies",
            "recognisers", "streamlit", "training",
        }  # fmt: skip
        assert {path.stem for path in (root / "ui").iterdir() if path.name != "__pycache__"} & taken == set()

    def test_it_does_not_use_the_folder_that_streamlit_claims(self, root: Path) -> None:
        assert not (root / "ui" / "pages").exists()
