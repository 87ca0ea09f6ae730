"""The wheels hold what they should, install outside the checkout and work there, with nothing downloaded."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

PACKAGES = ("custodes", "collector", "detectors", "policies", "recognisers", "ui")
ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program outside the checkout's environment; fail with what it said when it fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CUSTODES_", "PYTHON"))}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env={**kept, **variables}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done


def build(project: Path, folder: Path) -> Path:
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=project)
    (wheel,) = folder.glob("*.whl")
    return wheel


def read_names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def read_text(wheel: Path, end: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith(end)]
        return archive.read(name).decode()


@pytest.fixture(scope="module")
def server_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def sdk_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT / "sdk", tmp_path_factory.mktemp("sdk"))


@pytest.fixture(scope="module")
def installed(server_wheel: Path, sdk_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds our wheels and borrows every dependency from the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    wheels = (server_wheel, sdk_wheel)
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", *wheels, cwd=folder
    )
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).stdout.strip())
    # A path named in a .pth file is searched, but .pth files inside it are not read: the checkout stays invisible.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


class TestServerWheel:
    def test_it_has_exactly_our_top_level_names(self, server_wheel: Path) -> None:
        names = {name.split("/")[0] for name in read_names(server_wheel)}
        assert {name for name in names if not name.endswith(".dist-info")} == set(PACKAGES)

    def test_it_holds_every_file_of_the_packages_and_nothing_else(self, server_wheel: Path) -> None:
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES]
        tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
        ours = {name for name in tracked if name and (ROOT / name).is_file()}
        shipped = {name for name in read_names(server_wheel) if ".dist-info/" not in name}
        assert {name for name in shipped if not name.startswith("custodes/_migrations/")} == ours

    def test_it_ships_the_migrations(self, server_wheel: Path) -> None:
        shipped = {name for name in read_names(server_wheel) if name.startswith("custodes/_migrations/")}
        versions = {
            f"custodes/_migrations/versions/{path.name}" for path in (ROOT / "migrations/versions").glob("*.py")
        }
        assert shipped == versions | {"custodes/_migrations/env.py", "custodes/_migrations/script.py.mako"}

    def test_it_names_its_command_and_its_licence(self, server_wheel: Path) -> None:
        assert "custodes = custodes.cli.main:main" in read_text(server_wheel, "entry_points.txt")
        assert "Apache License" in read_text(server_wheel, "licenses/LICENSE")
        assert "License-Expression: Apache-2.0" in read_text(server_wheel, "METADATA")

    def test_it_needs_no_torch_unless_asked(self, server_wheel: Path) -> None:
        lines = [line for line in read_text(server_wheel, "METADATA").splitlines() if line.startswith("Requires-Dist")]
        base = [line for line in lines if "extra ==" not in line]
        heavy = ("torch", "numpy", "streamlit", "pandas", "transformers")
        assert [line for line in base if line.split(": ")[1].startswith(heavy)] == []
        assert any(line.startswith("Requires-Dist: torch") and "detectors" in line for line in lines)

    def test_it_is_a_plain_path_when_installed_for_editing(self, tmp_path: Path) -> None:
        code = f"from hatchling.build import build_editable; build_editable({str(tmp_path)!r})"
        run(sys.executable, "-c", code, cwd=ROOT)
        (wheel,) = tmp_path.glob("*.whl")
        names = [name for name in read_names(wheel) if ".dist-info/" not in name]
        assert [name for name in names if not name.endswith(".pth")] == []
        assert {Path(line).resolve() for line in read_text(wheel, ".pth").splitlines()} == {ROOT}


class TestSdkWheel:
    def test_it_has_exactly_one_top_level_name(self, sdk_wheel: Path) -> None:
        names = {name.split("/")[0] for name in read_names(sdk_wheel)}
        assert {name for name in names if not name.endswith(".dist-info")} == {"custodes_sdk"}

    def test_it_does_not_need_the_server(self, sdk_wheel: Path) -> None:
        lines = [line for line in read_text(sdk_wheel, "METADATA").splitlines() if line.startswith("Requires-Dist")]
        assert [line for line in lines if "extra ==" not in line and "httpx" not in line] == []


class TestInstalled:
    def test_it_runs_from_the_installation_and_not_from_the_checkout(self, installed: Path) -> None:
        names = "custodes, collector, detectors, policies, recognisers, ui, custodes_sdk"
        code = f"import {names}; print(*(m.__file__ for m in ({names})), sep='\\n')"
        found = run(installed / "bin" / "python", "-c", code, cwd=installed).stdout.split()
        assert [name for name in found if not Path(name).is_relative_to(installed)] == []

    @pytest.mark.parametrize(
        "arguments", [("--help",), ("db", "--help"), ("audit", "verify", "--help"), ("--version",)]
    )
    def test_it_has_a_working_command(self, installed: Path, arguments: tuple[str, ...]) -> None:
        assert "custodes" in run(installed / "bin" / "custodes", *arguments, cwd=installed).stdout.lower()

    def test_it_migrates_a_database(self, installed: Path, tmp_path: Path) -> None:
        custodes = installed / "bin" / "custodes"
        variables: Mapping[str, str] = {"CUSTODES_DATA_DIR": str(tmp_path / "data")}
        run(custodes, "db", "upgrade", cwd=tmp_path, **variables)
        newest = max(path.name[:13] for path in (ROOT / "migrations/versions").glob("*.py"))
        assert newest in run(custodes, "db", "current", cwd=tmp_path, **variables).stdout
        run(custodes, "db", "check", cwd=tmp_path, **variables)

    def test_it_has_a_door_and_policies_where_there_is_no_torch(self, installed: Path) -> None:
        code = """
import importlib, pkgutil, sys
for name in ("torch", "numpy", "transformers", "tokenizers", "streamlit", "pandas"):
    sys.modules[name] = None
import collector, policies
names = [m.name for p in (collector, policies) for m in pkgutil.walk_packages(p.__path__, p.__name__ + ".")]
for name in [*names, "custodes.runtime.serve", "custodes.cli.run", "custodes.cli.doctor", "custodes.cli.score"]:
    importlib.import_module(name)
print(len(names))
"""
        assert int(run(installed / "bin" / "python", "-c", code, cwd=installed).stdout) > 20
