"""CEL by Google's C++ core: typed when compiled, bounded when run.

Semantics measured on cel-expr-python 0.1.3 and kept here:

- ``>=`` between double and int is a compile error, so signals are doubles and literals need a point;
- a missing variable is an ERROR value unless the rest of the expression already decides the outcome;
- ``x / 0.0`` is infinity and ``0.0 / 0.0 > 0.5`` is *false*, a silent pass. Every divisor is
  therefore wrapped in ``nonzero(…)``, which makes a division by zero an ERROR;
- ``double('nan')`` is a number to it; ``finite(double(…))`` makes what is not finite an ERROR;
- macros stop after ten thousand iterations, but not before each has made as much as it likes, and chained ones
  double what they are given: :mod:`policies.rules.limits` refuses both when compiling;
- regular expressions are RE2, linear in the text; a literal one that is no pattern is refused when compiling, not
  found at every evaluation.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping
from functools import lru_cache

from cel_expr_python import cel

from policies.errors import ExpressionError
from policies.rules.expression import Outcome, Predicate, Truth, Values, VariableType
from policies.rules.limits import place_of, refuse_costly
from policies.rules.quick import make_quick
from policies.rules.tokens import mentioned_names, read_tokens, wrap_operands

_NONZERO, _FINITE = "nonzero", "finite"
_ENVIRONMENTS = 256
_COMPILING = threading.Lock()
_TRUE, _FALSE = Outcome(Truth.TRUE), Outcome(Truth.FALSE)
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_PROBLEM = re.compile(r"ERROR: <input>:(\d+):(\d+): (.+)")
_DEEP = re.compile(r"recursion (?:depth of|limit exceeded. limit:) (\d+)")
_OVERLOAD = re.compile(r"found no matching overload for '([^']+)' applied to '([^']+)'")


class CelEngine:
    """The :class:`~policies.rules.expression.ExpressionEngine` of Custodes."""

    def compile(self, source: str, variables: Mapping[str, VariableType]) -> Predicate:
        """Return the predicate of ``source`` over ``variables``.

        Raises ``ExpressionError`` with line and column when the text does not parse, names an undeclared
        variable, mixes types, nests deeper than 32, could cost more than a policy may, or does not give a bool.
        """
        refuse_costly(source)
        environment = _environment_of(tuple(sorted(variables.items())))
        # Nothing says that an environment may be used by several threads while it compiles.
        with _COMPILING:
            checked = _compile(environment, source)
            if checked.return_type() != cel.Type.BOOL:
                given = checked.return_type().name().lower()
                raise ExpressionError(f"the expression gives {given}, not bool; compare it")
            program = _compile(environment, wrap_operands(source, _NONZERO, _FINITE))
            _try_patterns(environment, source)
        names = mentioned_names(source, variables)
        order = tuple(sorted(names))
        doubles = all(variables[name] == "double" for name in order)
        return Predicate(source, names, program, order, make_quick(source, order) if doubles else None)

    def evaluate(self, predicate: Predicate, values: Values) -> Outcome:
        """Return TRUE or FALSE only where the evidence is there.

        TRUE stands even when another signal is missing, because no value of it could change the
        outcome. FALSE with a missing signal is NO_DATA: missing evidence is never a pass. A
        non-finite number counts as missing; it never enters the evaluation.
        """
        if predicate.quick is not None:
            # Doubles only, see make_quick; this is the innermost loop of a back-test. An absent value, ``None`` and a
            # zero divisor raise; CEL then knows whether the rest of the expression decides all the same.
            try:
                known = predicate.pick(values)
                if all(map(math.isfinite, known)):
                    return _TRUE if predicate.quick(*known) else _FALSE
            except (KeyError, TypeError, ZeroDivisionError):
                pass
        present = {name: values[name] for name in predicate.names if _is_usable(values.get(name))}
        missing = sorted(predicate.names - present.keys())
        program = predicate.program
        if not isinstance(program, cel.Expression):
            raise TypeError("the predicate was compiled by another expression engine")
        try:
            result = program.eval(data=present)
            kind, value = result.type(), result.value()
        except RuntimeError as error:
            return Outcome(Truth.ERROR, _first_line(str(error)))
        if kind == cel.Type.BOOL and value is True:
            return _TRUE
        if missing:
            return Outcome(Truth.NO_DATA, f"no value for {', '.join(missing)}")
        if kind == cel.Type.BOOL and value is False:
            return _FALSE
        return Outcome(Truth.ERROR, _first_line(str(value)))

    def names(self, predicate: Predicate) -> frozenset[str]:
        """Return the declared variables the predicate mentions."""
        return predicate.names


@lru_cache(maxsize=_ENVIRONMENTS)
def _environment_of(variables: tuple[tuple[str, VariableType], ...]) -> cel.Env:
    """Return an environment with these variables: the same one again, because each takes 80 kB and a millisecond."""
    types = {name: cel.Type.DOUBLE if kind == "double" else cel.Type.STRING for name, kind in variables}
    try:
        return cel.NewEnv(variables=types, functions=_declarations())
    except RuntimeError as error:
        raise ExpressionError(f"CEL cannot declare these names: {_first_line(str(error))}") from error


def _declarations() -> list[cel.FunctionDecl]:
    nonzero = [
        cel.Overload(id=f"nonzero_{name}", return_type=kind, parameters=[kind], is_member=False, impl=_require_nonzero)
        for name, kind in (("double", cel.Type.DOUBLE), ("int", cel.Type.INT), ("uint", cel.Type.UINT))
    ]
    double = cel.Type.DOUBLE
    finite = cel.Overload(
        id="finite_double", return_type=double, parameters=[double], is_member=False, impl=_require_finite
    )
    return [cel.FunctionDecl(_NONZERO, nonzero), cel.FunctionDecl(_FINITE, [finite])]


def _require_nonzero(divisor: float) -> float:
    if divisor == 0:
        raise ZeroDivisionError("division by zero")
    return divisor


def _require_finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("double() gave a number that is not finite")
    return number


def _try_patterns(environment: cel.Env, source: str) -> None:
    """Raise ``ExpressionError`` for a literal pattern of ``matches`` that is no regular expression."""
    tokens = read_tokens(source)
    for name, bracket, pattern, end in zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False):
        if (name[1], bracket[1], pattern[0], end[1]) == ("matches", "(", "string", ")"):
            value = _compile(environment, f"''.matches({pattern[1]})").eval(data={})
            if value.type() != cel.Type.BOOL:
                said = _first_line(str(value.value())).removeprefix("INVALID_ARGUMENT: ")
                raise ExpressionError(f"{place_of(source, pattern[2])}: {said}")


def _is_usable(value: float | str | None) -> bool:
    return value is not None and (isinstance(value, str) or math.isfinite(value))


def _compile(environment: cel.Env, source: str) -> cel.Expression:
    try:
        return environment.compile(source)
    except RuntimeError as error:
        raise _explain(str(error)) from error


def _explain(message: str) -> ExpressionError:
    """Turn the compiler's message into one sentence about the first problem."""
    if deep := _DEEP.search(message):
        limit = f"deeper than {deep[1]} levels"
        return ExpressionError(f"the expression nests {limit}, every + and * in a row counting as one; make it simpler")
    match = _PROBLEM.search(message)
    if match is None:
        return ExpressionError(_first_line(message))
    line, column, problem = match.groups()
    place = f"column {column}" if line == "1" else f"line {line}, column {column} of the expression"
    problem = problem.removesuffix(" [INVALID_ARGUMENT]")
    if undeclared := _UNDECLARED.search(problem):
        return ExpressionError(f"{place}: unknown name {undeclared[1]!r}", unknown_name=undeclared[1])
    if (overload := _OVERLOAD.search(problem)) and "double" in overload[2] and "int" in overload[2]:
        return ExpressionError(f"{place}: signals are doubles; write the whole number with a point, e.g. 50.0")
    return ExpressionError(f"{place}: {problem[:300]}")


def _first_line(message: str) -> str:
    return message.splitlines()[0][:200] if message else "the expression failed"
