"""docs/sdk.md names everything the SDK offers, and its programs run."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

import custodes_sdk
from custodes_sdk.environment import NAMES, PREFIX
from custodes_sdk.names import HOMES

Blocks = Callable[[Path, str], Iterator[str]]


@pytest.fixture(scope="module")
def openai_url() -> Iterator[str]:
    """The fake provider of the integration tests, which also answers 404 where Custodes would be."""
    script = Path(__file__).parents[1] / "integration" / "openai_server.py"
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait(timeout=10)
    process.stdout.close()


def run(program: str | Path, openai_url: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "CUSTODES_"))}
    server = openai_url.removesuffix("/v1")
    given = {"OPENAI_BASE_URL": openai_url, "OPENAI_API_KEY": "k", f"{PREFIX}ENDPOINT": server}
    command = [str(program)] if isinstance(program, Path) else ["-c", program.replace("http://localhost:4318", server)]
    return subprocess.run(
        [sys.executable, *command], env={**clean, **given}, capture_output=True, text=True, timeout=60, check=False
    )


class TestReference:
    def test_it_names_everything_public(self, root: Path) -> None:
        page = (root / "docs" / "sdk.md").read_text(encoding="utf-8")
        named = set(re.findall(r"`(\w+)[`(]", page))
        assert set(custodes_sdk.__all__) - named == set()

    def test_it_describes_every_argument_and_variable_of_init(self, root: Path) -> None:
        page = (root / "docs" / "sdk.md").read_text(encoding="utf-8")
        rows = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
        assert set(inspect.signature(custodes_sdk.init).parameters) <= rows
        assert {PREFIX + name for name in NAMES} == set(re.findall(rf"{PREFIX}[A-Z_]+[A-Z]", page))

    def test_names_types_and_homes_agree(self, root: Path) -> None:
        stub = (root / "sdk" / "custodes_sdk" / "__init__.pyi").read_text(encoding="utf-8")
        assert set(re.findall(r'^    "(\w+)",$', stub, re.MULTILINE)) == set(custodes_sdk.__all__) == set(HOMES)
        for name, home in HOMES.items():
            module = importlib.import_module(f"custodes_sdk.{home}")
            assert getattr(custodes_sdk, name) is getattr(module, name)
        assert custodes_sdk.vllm.Capture.__name__ == "Capture"
        with pytest.raises(AttributeError, match="nothing"):
            custodes_sdk.nothing  # type: ignore[attr-defined]  # noqa: B018

    def test_the_proxy_s_options_are_described(self, root: Path) -> None:
        from custodes.cli.proxy import proxy

        page = (root / "docs" / "proxy.md").read_text(encoding="utf-8")
        options = {one for option in proxy.params for one in (*option.opts, *option.secondary_opts)}
        assert {one for one in options if f"`{one}`" not in page} == set()
        assert isinstance(proxy, click.Command)


class TestPrograms:
    def test_those_of_the_page_run(self, root: Path, blocks: Blocks, openai_url: str) -> None:
        pages = (root / "docs" / "sdk.md", root / "sdk" / "README.md")
        programs = [program for page in pages for program in blocks(page, "python")]
        assert len(programs) >= 7
        for program in programs:
            done = run(program, openai_url)
            assert done.returncode == 0, f"{program}\n{done.stderr}"
            assert "Traceback" not in done.stderr, f"{program}\n{done.stderr}"

    @pytest.mark.parametrize("name", ["rag.py", "any_model.py"])
    def test_the_examples_run(self, root: Path, openai_url: str, name: str) -> None:
        done = run(root / "examples" / "sdk" / name, openai_url)
        assert done.returncode == 0, done.stderr
        assert "nine" in done.stdout
