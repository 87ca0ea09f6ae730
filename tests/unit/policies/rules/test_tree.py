from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import PolicyError
from policies.rules.tree import MAX_FILE_BYTES, parse_tree


class TestParseTree:
    def test_gives_plain_values_with_their_lines(self) -> None:
        tree = parse_tree("a: 1\nb:\n  - x: 0.5\n    y: [true, null, ~, '2']\n", "f")
        assert tree.root == {"a": 1, "b": [{"x": 0.5, "y": [True, None, None, "2"]}]}
        assert tree.line_of(("a",)) == 1
        assert tree.line_of(("b", 0, "x")) == 3
        assert tree.line_of(("b", 0, "y", 3)) == 4

    def test_gives_the_line_of_the_nearest_ancestor_for_a_path_that_is_absent(self) -> None:
        assert parse_tree("a:\n  b: 1\n", "f").line_of(("a", "missing", 0)) == 1

    @pytest.mark.parametrize("word", ["yes", "no", "on", "off", "1:30", "0x10", "2026-11-21", "1_000", "0o7"])
    def test_leaves_words_alone_that_yaml_1_1_would_turn_into_values(self, word: str) -> None:
        assert parse_tree(f"a: {word}", "f").root == {"a": word}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a: &x 1\nb: *x\n", "anchors are not allowed"),
            ("a: [1, *x]\n", "aliases are not allowed|undefined"),
            ("? &k a\n: 1\n", "plain word"),
            ("<<: {a: 1}\n", "merge keys"),
            ("a: !!python/object:os.system {}\n", "tags are not allowed"),
            ("a: !custom 1\n", "tags are not allowed"),
            ("a: 1\na: 2\n", "stands here twice"),
            ("a: {b: 1, b: 2}\n", "stands here twice"),
            ("a: 1\n---\nb: 2\n", "second document"),
            ("a: .nan\n", "not a number"),
            ("a: -.inf\n", "not a number"),
            ("a: 1e999\n", "too large"),
            ("a: [1\n", "not valid YAML"),
            ("a: b: c\n", "not valid YAML"),
            ("[a]: 1\n", "plain word"),
            ("", "empty"),
            ("# only a comment\n", "empty"),
            ("a: \x00\n", "forbids"),
            ("a: " + "[" * 5000, "nested deeper"),
            ("a: " + "{b: " * 5000, "nested deeper"),
            ("a: '" + "x" * MAX_FILE_BYTES + "'", "65541 bytes"),
        ],
    )
    def test_refuses_what_is_outside_the_strict_subset(self, text: str, message: str) -> None:
        with pytest.raises(PolicyError, match=message):
            parse_tree(text, "f")

    def test_refuses_an_alias_bomb_without_expanding_it(self) -> None:
        lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
        with pytest.raises(PolicyError, match="anchors"):
            parse_tree("\n".join(lines), "f")

    @given(st.text(max_size=200))
    def test_lets_only_its_own_error_escape(self, text: str) -> None:
        with suppress(PolicyError):
            assert parse_tree(text, "f").line_of(()) >= 1

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_never_yields_a_number_that_is_not_finite(self, number: float) -> None:
        root = parse_tree(f"a: {number!r}", "f").root
        assert isinstance(root, dict)
        assert math.isclose(float(root["a"]), number, rel_tol=0, abs_tol=0)
