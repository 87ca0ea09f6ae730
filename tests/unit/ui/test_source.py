"""What the console's source may not contain, read from its syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ui

FOLDER = Path(ui.__file__).parent
SOURCES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.py"))
# Calls that render Markdown from a string of any length, or HTML, or an address from data.
FORBIDDEN_CALLS = {
    "markdown", "write", "write_stream", "html", "json", "latex", "image", "iframe", "components", "link_button",
    "chat_message", "mermaid_chart", "graphviz_chart", "exception", "help",
}  # fmt: skip
FORBIDDEN_COLUMNS = {"LinkColumn", "ImageColumn", "MarkdownColumn", "JsonColumn"}
FORBIDDEN_KEYWORDS = {"unsafe_allow_html", "unsafe_allow_javascript"}
# Commands whose text is rendered as Markdown.
LABELS = {
    "badge", "button", "caption", "error", "expander", "form_submit_button", "header", "info", "metric", "page_link",
    "subheader", "success", "title", "toast", "warning",
}  # fmt: skip
# Captured text by the names its fields have; only safe_text may be given these.
CAPTURED = {"prompt", "response", "contexts", "input_messages", "output_messages", "retrieved_documents", "content"}


def calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Yield every call of an attribute of ``st``, with that attribute's name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            root = node.func.value
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(root, ast.Name) and root.id == "st":
                yield node.func.attr, node


def problems(source: str) -> list[str]:
    """Return what is forbidden in a module of the console."""
    tree = ast.parse(source)
    found = []
    for name, call in calls(tree):
        if name in FORBIDDEN_CALLS | FORBIDDEN_COLUMNS:
            found.append(f"line {call.lineno}: st.{name}")
        found += [f"line {call.lineno}: {word.arg}" for word in call.keywords if word.arg in FORBIDDEN_KEYWORDS]
        if name in LABELS:
            text = [*call.args[:1], *(word.value for word in call.keywords)]
            found += [
                f"line {node.lineno}: {node.attr} in a label"
                for argument in text
                for node in ast.walk(argument)
                if isinstance(node, ast.Attribute) and node.attr in CAPTURED
            ]
    return found


class TestSource:
    @pytest.mark.parametrize("path", SOURCES)
    def test_it_renders_no_markdown_and_no_html_from_data(self, path: str) -> None:
        assert problems((FOLDER / path).read_text("utf-8")) == []

    @pytest.mark.parametrize(
        "code",
        [
            "st.markdown(x)",
            "st.write(x)",
            "st.sidebar.markdown(x)",
            "st.caption(x, unsafe_allow_html=True)",
            "st.column_config.LinkColumn()",
            "st.caption(exchange.prompt)",
            "st.error(f'{span.response}')",
            "st.expander(label=message.content)",
        ],
    )
    def test_it_recognises_what_is_forbidden(self, code: str) -> None:
        assert problems(code) != []

    @pytest.mark.parametrize("code", ["st.code(exchange.prompt)", "st.caption('fine')", "safe_text(exchange.prompt)"])
    def test_it_lets_the_rest_pass(self, code: str) -> None:
        assert problems(code) == []

    @pytest.mark.parametrize(
        "path", [path for path in SOURCES if path.startswith("app_pages/") and "__init__" not in path]
    )
    def test_it_keeps_http_out_of_pages(self, path: str) -> None:
        names = {
            alias.name for node in ast.walk(ast.parse((FOLDER / path).read_text("utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names
        }  # fmt: skip
        assert not names & {"httpx", "requests", "urllib", "Client"}
