"""What is public is documented."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

PUBLIC = ("custodes/", "collector/", "detectors/", "policies/", "recognisers/", "ui/", "sdk/", "training/", "bench/")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def undocumented(tree: ast.Module) -> Iterator[Definition]:
    """The public classes and functions of a module that lack a docstring. Methods share the one of their class."""
    for node in tree.body:
        if isinstance(node, Definition) and not node.name.startswith("_") and not ast.get_docstring(node):
            yield node


class TestDocstrings:
    def test_it_documents_every_module(self, sources: Mapping[str, ast.Module]) -> None:
        bare = [
            name
            for name, tree in sources.items()
            if not name.startswith("tests/unit/") and tree.body and not ast.get_docstring(tree)
        ]
        assert bare == []

    def test_it_documents_every_public_class_and_function(self, sources: Mapping[str, ast.Module]) -> None:
        bare = [
            f"{name}:{node.lineno} {node.name}"
            for name, tree in sources.items()
            if name.startswith(PUBLIC)
            for node in undocumented(tree)
        ]
        assert bare == []

    def test_it_finds_what_is_missing(self) -> None:
        tree = ast.parse("class A:\n    '''Doc.'''\ndef b(): ...\ndef _c(): ...\nclass D: ...\n")
        assert [node.name for node in undocumented(tree)] == ["b", "D"]


class TestPackageFiles:
    def test_it_lets_init_files_only_re_export(self, sources: Mapping[str, ast.Module]) -> None:
        busy = [
            f"{name}:{node.lineno}"
            for name, tree in sources.items()
            if name.endswith("__init__.py") and name.startswith(PUBLIC)
            for node in tree.body
            if not is_re_export(node)
        ]
        assert busy == []

    def test_it_puts_no_init_file_among_the_tests(self, sources: Mapping[str, ast.Module]) -> None:
        assert [name for name in sources if name.startswith("tests/") and name.endswith("__init__.py")] == []


def is_re_export(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id in {"__all__", "__version__"}
    return False
