"""What the pages tell people to type and to open exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from custodes.cli.main import cli
from policies import check

Blocks = Callable[[Path, str], Iterator[str]]
LINK = re.compile(r"\]\(([^)\s]+)\)")
# A path of ours between backticks, e.g. `policies/engine/step.py` or `ui/app_pages/`.
PATH = re.compile(r"`((?:[\w.-]+/)+(?:[\w.-]+\.\w+)?)`")
SHELL = re.compile(r"^(?:\w+=\S+ )*(?:\.venv/bin/)?(custodes|make) ?([^#\n]*)", re.MULTILINE)


def commands(pages: list[Path], blocks: Blocks, program: str) -> list[list[str]]:
    return [
        shlex.split(arguments)
        for page in pages
        for block in blocks(page, "bash")
        for name, arguments in SHELL.findall(block)
        if name == program
    ]


def check_command(words: list[str]) -> None:
    """Fail unless a command exists and takes the options that are given to it."""
    command: click.Command = cli
    context = click.Context(command, info_name="custodes")
    rest = list(words)
    while isinstance(command, click.Group):
        assert rest, f"custodes {' '.join(words)} is not complete"
        found = command.get_command(context, rest.pop(0))
        assert found is not None, f"custodes {' '.join(words)} does not exist"
        command = found
        context = click.Context(command, info_name=command.name, parent=context)
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.split("=")[0] for word in rest if word.startswith("--")} <= known, words


class TestCommands:
    def test_it_exists_with_its_options(self, pages: list[Path], blocks: Blocks) -> None:
        found = commands(pages, blocks, "custodes")
        assert len(found) > 5
        for words in found:
            check_command(words)

    @pytest.mark.parametrize("words", [["nonsense"], ["audit"], ["audit", "verify", "--nonsense"]])
    def test_it_notices_what_does_not_exist(self, words: list[str]) -> None:
        with pytest.raises(AssertionError):
            check_command(words)

    def test_it_is_a_target_of_the_makefile(self, root: Path, pages: list[Path], blocks: Blocks) -> None:
        targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.MULTILINE))
        wanted = {words[0] for words in commands(pages, blocks, "make")}
        wanted |= {word for page in pages for word in re.findall(r"`make (\w+)`", page.read_text(encoding="utf-8"))}
        assert {"demo", "test", "check"} <= wanted
        assert wanted - targets == set()

    def test_it_is_named_in_full_in_running_text(self, pages: list[Path]) -> None:
        for page in pages:
            for line in re.findall(r"`custodes ([a-z][^`…]*)`", page.read_text(encoding="utf-8")):
                check_command(shlex.split(line))


class TestLinks:
    def test_it_leads_to_a_file_that_exists(self, root: Path, pages: list[Path]) -> None:
        broken = []
        for page in pages:
            for target in LINK.findall(page.read_text(encoding="utf-8")):
                if target.startswith(("http://", "https://")):
                    continue
                name, _, anchor = target.partition("#")
                path = (page.parent / name).resolve() if name else page
                if not path.exists() or (anchor and anchor not in anchors(path)):
                    broken.append(f"{page.relative_to(root)}: {target}")
        assert broken == []

    def test_it_reaches_every_page_from_the_first(self, root: Path, pages: list[Path]) -> None:
        seen: set[Path] = set()
        waiting = [root / "README.md"]
        while waiting:
            page = waiting.pop()
            if page in seen or page.suffix != ".md" or not page.is_file():
                continue
            seen.add(page)
            targets = [target.partition("#")[0] for target in LINK.findall(page.read_text(encoding="utf-8"))]
            waiting += [(page.parent / name).resolve() for name in targets if name and "://" not in name]
        assert set(pages) - seen - {root / "sdk" / "README.md"} == set()


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


class TestPaths:
    def test_it_names_files_and_folders_that_exist(self, root: Path, pages: list[Path]) -> None:
        missing = [
            f"{page.relative_to(root)}: {name}"
            for page in pages
            for name in PATH.findall(page.read_text(encoding="utf-8"))
            if not any((folder / name).exists() for folder in (root, page.parent))
        ]
        # What a command writes, and what the vocabulary of a package manager calls by a path.
        assert [line for line in missing if not line.endswith(("bench/results/", "/src/", ": src/"))] == []


class TestPolicies:
    def test_it_passes_lint_and_its_own_tests(self, root: Path, pages: list[Path], blocks: Blocks) -> None:
        written = [
            (page.name, block) for page in pages for block in blocks(page, "yaml") if "apiVersion: custodes/v1" in block
        ]
        files = sorted((root / "examples" / "policies").glob("*.yaml"))
        written += [(path.name, path.read_text(encoding="utf-8")) for path in files]
        assert len(written) > len(files) > 0
        for name, text in written:
            assert [str(finding) for finding in check.lint_text(text, name) if finding.level == "error"] == []
            assert check.test_text(text, name).passed, name


class TestChangelog:
    def test_it_has_a_section_for_what_is_not_released(self, root: Path) -> None:
        text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
        assert re.search(r"^## \[Unreleased\]$", text, re.MULTILINE)
        kinds = set(re.findall(r"^### (\w+)$", text, re.MULTILINE))
        assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


class TestDecisions:
    def test_it_is_listed_numbered_and_at_most_a_page(self, root: Path) -> None:
        folder = root / "docs" / "decisions"
        records = sorted(path.name for path in folder.glob("[0-9]*.md"))
        assert [int(name[:4]) for name in records] == list(range(1, len(records) + 1))
        listed = LINK.findall((folder / "README.md").read_text(encoding="utf-8"))
        assert sorted(listed) == records
        assert [name for name in records if len((folder / name).read_text(encoding="utf-8").split()) > 550] == []
