from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import ExpressionError
from policies.rules.cel import CelEngine
from policies.rules.expression import Truth, Values, VariableType

DOUBLES: dict[str, VariableType] = {"n": "double", "tox": "double", "cost": "double"}


def truth(source: str, values: Values) -> Truth:
    engine = CelEngine()
    return engine.evaluate(engine.compile(source, DOUBLES), values).truth


class TestCompile:
    def test_knows_which_signals_an_expression_reads(self) -> None:
        engine = CelEngine()
        assert engine.names(engine.compile("n >= 50.0 && tox > 0.8", DOUBLES)) == {"n", "tox"}

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("tos > 0.8", "column 1: unknown name 'tos'"),
            ("n > 1.0 && tos > 0.8", "column 12: unknown name 'tos'"),
            ("n >= 50", "signals are doubles; write the whole number with a point"),
            ("n + tox", "gives double, not bool"),
            ("'yes'", "gives string, not bool"),
            ("dyn(n)", "gives dyn, not bool"),
            ("n > 'x'", "no matching overload"),
            ("n >", "Syntax error"),
            ("", "Syntax error"),
            ("(" * 3000 + "n > 1.0" + ")" * 3000, "nests deeper than 32"),
            ("n > 1.0;", "Syntax error"),
        ],
    )
    def test_refuses_what_does_not_check_and_says_where(self, source: str, message: str) -> None:
        with pytest.raises(ExpressionError, match=message):
            CelEngine().compile(source, DOUBLES)

    def test_gives_the_unknown_name_as_data(self) -> None:
        with pytest.raises(ExpressionError) as caught:
            CelEngine().compile("n > 1.0 && score.tos > 0.8", {"n": "double", "score.tox": "double"})
        assert caught.value.unknown_name == "score.tos"

    @given(st.text(max_size=60))
    def test_lets_only_its_own_error_escape(self, source: str) -> None:
        with suppress(ExpressionError):
            assert CelEngine().compile(source, DOUBLES).source == source


class TestEvaluate:
    @pytest.mark.parametrize(
        ("source", "values", "expected"),
        [
            ("n >= 50.0 && tox > 0.8", {"n": 80.0, "tox": 0.9}, Truth.TRUE),
            ("n >= 50.0 && tox > 0.8", {"n": 80.0, "tox": 0.7}, Truth.FALSE),
            ("tox > 0.8", {}, Truth.NO_DATA),
            ("tox > 0.8", {"tox": None}, Truth.NO_DATA),
            ("tox > 0.8", {"tox": math.nan}, Truth.NO_DATA),
            ("tox > 0.8", {"tox": math.inf}, Truth.NO_DATA),
            ("tox < 0.8", {"tox": -math.inf}, Truth.NO_DATA),
            ("int(n) / 0 > 1", {"n": 1.0}, Truth.ERROR),
        ],
    )
    def test_has_verdicts_only_where_there_is_evidence(self, source: str, values: Values, expected: Truth) -> None:
        assert truth(source, values) is expected

    def test_lets_a_true_verdict_stand_when_another_signal_is_missing(self) -> None:
        assert truth("tox > 0.8 || cost > 5.0", {"tox": 0.9}) is Truth.TRUE

    def test_never_lets_missing_evidence_pass_as_false(self) -> None:
        assert truth("n >= 50.0 && tox > 0.8", {"n": 0.0}) is Truth.NO_DATA

    def test_accepts_a_present_signal_that_the_guard_makes_irrelevant(self) -> None:
        assert truth("n >= 50.0 && tox > 0.8", {"n": 3.0, "tox": 0.99}) is Truth.FALSE

    @pytest.mark.parametrize("values", [{"cost": 0.0, "n": 0.0}, {"cost": 1.0, "n": 0.0}])
    def test_makes_division_by_zero_an_error_instead_of_a_silent_pass(self, values: Values) -> None:
        assert truth("cost / n > 0.5", values) is Truth.ERROR
        assert truth("n > 0.0 && cost / n > 0.5", values) is Truth.FALSE

    def test_divides_as_usual_otherwise(self) -> None:
        assert truth("cost / n > 0.5", {"cost": 6.0, "n": 10.0}) is Truth.TRUE
        assert truth("8.0 / n / 2.0 == 1.0", {"n": 4.0}) is Truth.TRUE

    def test_names_the_missing_signals(self) -> None:
        engine = CelEngine()
        predicate = engine.compile("n > 1.0 && tox > 1.0", DOUBLES)
        assert engine.evaluate(predicate, {}).reason == "no value for n, tox"

    @given(
        st.dictionaries(st.sampled_from(["n", "tox", "cost"]), st.one_of(st.none(), st.floats())),
        st.sampled_from(["n >= 50.0 && tox > 0.8", "tox < 0.6", "cost / n > 0.05", "tox > 0.5 || cost > 1.0"]),
    )
    def test_is_false_only_when_every_signal_it_reads_is_finite(
        self, values: dict[str, float | None], source: str
    ) -> None:
        engine = CelEngine()
        predicate = engine.compile(source, DOUBLES)
        if engine.evaluate(predicate, values).truth is Truth.FALSE:
            read = [values.get(name) for name in predicate.names]
            assert all(value is not None and math.isfinite(value) for value in read)
