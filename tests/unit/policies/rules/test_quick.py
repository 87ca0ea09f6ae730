"""The fast way through simple predicates says what CEL says, and stays away from everything else."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.rules.cel import CelEngine
from policies.rules.expression import Predicate, Truth, VariableType
from policies.rules.quick import make_quick

NAMES = ("a", "b", "score.toxicity")
VARIABLES: dict[str, VariableType] = dict.fromkeys(NAMES, "double")
SLOW = CelEngine()

numbers = st.one_of(
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: f"{abs(x)!r}" if "." in f"{abs(x)!r}" else "1.0"),
    st.sampled_from(["0.0", "0.5", "1.0", "1e300", ".5", *NAMES]),
)


def sums(depth: int) -> st.SearchStrategy[str]:
    if depth == 0:
        return numbers
    inner = sums(depth - 1)
    return st.one_of(
        numbers,
        st.tuples(inner, st.sampled_from([" + ", "-", " * ", " / "]), inner).map("".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"-({text})"),
    )


def conditions(depth: int) -> st.SearchStrategy[str]:
    relation = st.tuples(sums(2), st.sampled_from(["<", " <= ", ">", " >= ", "==", " != "]), sums(2)).map("".join)
    if depth == 0:
        return relation
    inner = conditions(depth - 1)
    return st.one_of(
        relation,
        st.tuples(inner, st.sampled_from([" && ", "||"]), inner).map("".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"!({text})"),
    )


values = st.floats(allow_nan=False, allow_infinity=False)


class TestQuick:
    @settings(max_examples=400, deadline=None)
    @given(source=conditions(3), a=values, b=values, c=values)
    def test_it_says_what_cel_says(self, source: str, a: float, b: float, c: float) -> None:
        compiled = SLOW.compile(source, VARIABLES)
        assert compiled.quick is not None, source
        without = Predicate(compiled.source, compiled.names, compiled.program)
        given_values = {"a": a, "b": b, "score.toxicity": c}
        assert SLOW.evaluate(compiled, given_values) == SLOW.evaluate(without, given_values)

    @pytest.mark.parametrize(
        "source",
        [
            "a > 1.0 ? true : false",
            "[a, b].exists(x, x > 1.0)",
            "(a > 1.0) == (b > 1.0)",
            "a > 1.0 == (b > 1.0)",
            "true",
            "!(a > 1.0) == (b > 1.0)",
            "double(int(a)) > 1.0",
        ],
    )
    def test_it_leaves_everything_else_to_cel(self, source: str) -> None:
        assert SLOW.compile(source, VARIABLES).quick is None

    @pytest.mark.parametrize(
        ("source", "truth"),
        [
            ("a / b > 1.0", Truth.ERROR),
            ("a / b > 1.0 || a > 1.0", Truth.TRUE),
            ("a > 1.0 || a / b > 1.0", Truth.TRUE),
            ("a / b > 1.0 && a < 1.0", Truth.FALSE),
            ("a < 1.0 && a / b > 1.0", Truth.FALSE),
            ("!(a / b > 1.0)", Truth.ERROR),
            ("a / -b > 1.0", Truth.ERROR),
            ("b / a < 1.0", Truth.TRUE),
        ],
    )
    def test_it_asks_cel_what_a_division_by_zero_comes_to(self, source: str, truth: Truth) -> None:
        compiled = SLOW.compile(source, VARIABLES)
        assert compiled.quick is not None
        assert SLOW.evaluate(compiled, {"a": 2.0, "b": 0.0}).truth is truth

    def test_it_leaves_texts_to_cel(self) -> None:
        assert SLOW.compile('s == "x"', {"s": "string"}).quick is None

    @pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
    def test_it_is_not_asked_when_a_value_is_missing_or_not_finite(self, value: float | None) -> None:
        compiled = SLOW.compile("a > 1.0", VARIABLES)
        assert compiled.quick is not None
        assert SLOW.evaluate(compiled, {"a": value}).truth is Truth.NO_DATA

    def test_it_takes_no_names_that_were_not_declared(self) -> None:
        assert make_quick("__import__ > 1.0", ("a",)) is None
        assert make_quick("a.b > 1.0", ("a",)) is None

    def test_it_gives_up_on_deep_nesting(self) -> None:
        assert make_quick("(" * 5000 + "a > 1.0" + ")" * 5000, ("a",)) is None
