from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies.actions.judgement import Interval, judge, read_predicate
from policies.rules.expression import Truth
from policies.rules.quick import make_quick

NAMES = ("a", "b")


def verdict(source: str, **known: Interval | None) -> Truth:
    predicate = read_predicate(source, NAMES)
    assert predicate is not None
    return judge(predicate, known)


class TestJudge:
    def test_is_certain_only_when_every_value_agrees(self) -> None:
        assert verdict("a < 0.6", a=(0.1, 0.59)) is Truth.TRUE
        assert verdict("a < 0.6", a=(0.6, 0.9)) is Truth.FALSE
        assert verdict("a < 0.6", a=(0.5, 0.7)) is Truth.NO_DATA
        assert verdict("a < 0.6", a=None) is Truth.NO_DATA

    def test_needs_only_the_part_that_decides(self) -> None:
        assert verdict("a > 50.0 && b < 0.5", a=(10.0, 10.0), b=None) is Truth.FALSE
        assert verdict("a > 50.0 || b < 0.5", a=(60.0, 60.0), b=None) is Truth.TRUE
        assert verdict("!(a > 50.0)", a=(10.0, 20.0)) is Truth.TRUE

    def test_leaves_what_is_not_simple_alone(self) -> None:
        assert read_predicate("a / b > 1.0", NAMES) is None

    @given(
        st.sampled_from(
            [
                "a < 0.5",
                "a <= b",
                "a - b > 0.1",
                "!(a > 0.3) || b >= 0.7",
                "2.0 * a < b && b != 0.5",
                "-a < b",
                "a == b",
            ]
        ),
        st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
        st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
        st.floats(0, 1),
        st.floats(0, 1),
    )
    def test_never_contradicts_a_value_inside(
        self, source: str, first: list[float], second: list[float], at: float, at_too: float
    ) -> None:
        said = verdict(source, a=(first[0], first[1]), b=(second[0], second[1]))
        a = min(first[1], first[0] + at * (first[1] - first[0]))
        b = min(second[1], second[0] + at_too * (second[1] - second[0]))
        quick = make_quick(source, NAMES)
        assert quick is not None
        if said is not Truth.NO_DATA:
            assert quick(a, b) is (said is Truth.TRUE)
