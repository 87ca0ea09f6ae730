"""Lists and objects as Python prints them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.dialects.messages import read_json_messages
from collector.dialects.python_literal import read_python_literal

PRINTABLE = st.recursive(
    st.one_of(st.text(max_size=5), st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=8,
)


class TestReadPythonLiteral:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("[{'role': 'user', 'content': \"it's\"}]", [{"role": "user", "content": "it's"}]),
            ("{'a': None, 'b': True, 'c': (1, 2)}", {"a": None, "b": True, "c": [1, 2]}),
            ("{'a': {1: b'x'}}", {"a": {"1": "b'x'"}}),
            (" ['a', 'b'] ", ["a", "b"]),
        ],
    )
    def test_it_reads_what_python_prints(self, text: str, value: Any) -> None:
        assert read_python_literal(text) == value

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "['cut off",
            "['a'] and more",
            "[HumanMessage(content='hi')]",
            "{'a': __import__('os').getcwd()}",
            "{'a': 1, **{'b': 2}}",
            "{'a': " + "[" * 90 + "]" * 90 + "}",
            "['" + "x" * (1 << 18) + "']",
            "{'\\ud800': '\\q'}{",
        ],
    )
    def test_anything_else_is_none(self, text: str) -> None:
        assert read_python_literal(text) is None

    @given(st.one_of(st.lists(PRINTABLE, max_size=3), st.dictionaries(st.text(max_size=3), PRINTABLE, max_size=3)))
    def test_what_was_printed_comes_back_or_stays_text(self, value: Any) -> None:
        assert read_python_literal(repr(value)) in (value, None)

    @given(st.text(st.sampled_from("[{'\"()]}:,\\x0aN1 "), max_size=40))
    def test_it_never_raises(self, text: str) -> None:
        read_python_literal(text)


class TestMessages:
    def test_messages_that_were_printed_are_read(self) -> None:
        value = str([{"role": "user", "content": "hello"}])
        assert read_json_messages(value, "user") == [{"role": "user", "parts": [{"type": "text", "content": "hello"}]}]

    def test_printed_messages_that_were_cut_are_unreadable(self) -> None:
        value = str([{"role": "user", "content": "hello"}])[:-3]
        assert read_json_messages(value, "user") == [
            {"role": "user", "parts": [{"type": "unreadable", "content": value}]}
        ]
