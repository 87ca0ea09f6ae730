from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.rules.tokens import mentioned_names, wrap_operands


class TestMentionedNames:
    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("n >= 50.0 && tox > 0.8", {"n", "tox"}),
            ("'n' == \"tox\" // n", set()),
            ("score.tox > 0.5", {"score.tox"}),
            ("other.n > 1.0", set()),
            ("[1.0].all(x, x < n)", {"n"}),
        ],
    )
    def test_finds_declared_names_outside_strings_and_comments(self, source: str, expected: set[str]) -> None:
        assert mentioned_names(source, ["n", "tox", "score.tox", "score"]) - {"score"} == expected


class TestWrapOperands:
    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("a / b", "a / nz(b)"),
            ("a / b / c", "a / nz(b) / nz(c)"),
            ("a / (b + c) * d", "a / nz((b + c)) * d"),
            ("a / -b", "a / nz(-b)"),
            ("a / f(b / c)", "a / nz(f(b / nz(c)))"),
            ("a / b.c[0] > 1.0", "a / nz(b.c[0]) > 1.0"),
            ("a / 2.0", "a / 2.0"),
            ("a / 0.0", "a / nz(0.0)"),
            ("a / 0.5", "a / 0.5"),
            ("'a / b' == x", "'a / b' == x"),
            ("a // b", "a // b"),
            ("a", "a"),
            ("double(a) > 1.0", "fin(double(a)) > 1.0"),
            ("a / double('2')", "a / nz(fin(double('2')))"),
            ("double(double(a))", "fin(double(fin(double(a))))"),
        ],
    )
    def test_wraps_exactly_divisors_and_conversions(self, source: str, expected: str) -> None:
        assert wrap_operands(source, "nz", "fin") == expected

    @given(st.text(alphabet="abn /()[].'\"-!0123", max_size=40))
    def test_keeps_the_text_apart_from_the_wrapping(self, source: str) -> None:
        wrapped = wrap_operands(source, "Q", "F")
        assert wrapped.replace("Q(", "").count("/") == source.count("/")
        assert [c for c in wrapped if c not in "Q()"] == [c for c in source if c not in "()"]
