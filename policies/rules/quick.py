"""A fast way through simple predicates: comparisons of doubles joined by ``&&``, ``||`` and ``!``.

The compiler has accepted and typed the text before it comes here. For this subset, with every value there and finite,
CEL and Python agree on every result: IEEE doubles on both sides, no missing value, and one operation that can fail. It
is division, and Python raises ``ZeroDivisionError`` where CEL has an error; such an evaluation goes through CEL, which
knows whether the rest of the expression decides all the same. So does every evaluation with a value missing, and
whatever lies outside the subset has no quick form. A test compares the two on generated expressions; a back-test of a
month is twenty times faster for it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence

from policies.rules.tokens import Token, read_tokens

Quick = Callable[..., bool]
"""A function of the predicate's variables, in the order given, to its truth."""

_DOUBLE = re.compile(r"\d+\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+", re.ASCII)
_RELATIONS: dict[str, type[ast.cmpop]] = {
    "<": ast.Lt, "<=": ast.LtE, ">": ast.Gt, ">=": ast.GtE, "==": ast.Eq, "!=": ast.NotEq,
}  # fmt: skip
_SUMS: dict[str, type[ast.operator]] = {"+": ast.Add, "-": ast.Sub}
_PRODUCTS: dict[str, type[ast.operator]] = {"*": ast.Mult, "/": ast.Div}


class _NotSimpleError(Exception):
    """The text lies outside the subset."""


def make_quick(source: str, names: Sequence[str]) -> Quick | None:
    """Return a function of ``names`` that gives the truth of ``source``; ``None`` if it is not simple.

    It raises ``ZeroDivisionError`` where a divisor is zero.
    """
    body = parse_simple(source, names, division=True)
    if body is None:
        return None
    arguments = [ast.arg(arg=f"v{index}") for index in range(len(names))]
    lambda_ = ast.Lambda(ast.arguments([], arguments, None, [], [], None, []), body)
    try:
        expression = ast.fix_missing_locations(ast.Expression(lambda_))
        code = compile(expression, "<policy>", "eval")
    except RecursionError:
        return None
    # Only the nodes built below can be in it: names of arguments, constants, comparisons and sums.
    made: Quick = eval(code, {"__builtins__": {}})
    return made


def parse_simple(source: str, names: Sequence[str], *, division: bool = False) -> ast.expr | None:
    """Return a simple predicate as a tree of Python, in which ``v0``, ``v1``, … stand for ``names``.

    In it are ``BoolOp``, ``UnaryOp``, ``Compare`` of two sides, ``BinOp``, ``Name`` and ``Constant``. ``None`` if it is
    not simple; a division is simple only with ``division``.
    """
    products = _PRODUCTS if division else {"*": ast.Mult}
    parser = _Parser(read_tokens(source), {name: f"v{index}" for index, name in enumerate(names)}, products)
    try:
        body = parser.alternatives()
        parser.end()
    except (_NotSimpleError, RecursionError):
        return None
    return body


class _Parser:
    """Recursive descent over the tokens of the subset; every method leaves ``_at`` behind what it read."""

    def __init__(
        self, tokens: Sequence[Token], arguments: dict[str, str], products: Mapping[str, type[ast.operator]]
    ) -> None:
        self._tokens = _join_signs(tokens)
        self._products = products
        self._arguments = arguments
        self._at = 0

    def end(self) -> None:
        """Raise unless everything was read."""
        if self._at != len(self._tokens):
            raise _NotSimpleError

    def alternatives(self) -> ast.expr:
        """Read ``a || b || …``."""
        return self._joined("||", ast.Or(), self._conditions)

    def _conditions(self) -> ast.expr:
        return self._joined("&&", ast.And(), self._condition)

    def _joined(self, sign: str, operator: ast.boolop, read: Callable[[], ast.expr]) -> ast.expr:
        parts = [read()]
        while self._take(sign):
            parts.append(read())
        return parts[0] if len(parts) == 1 else ast.BoolOp(operator, parts)

    def _condition(self) -> ast.expr:
        if self._take("!"):
            self._need("(")
            inner = self.alternatives()
            self._need(")")
            self._refuse_relation()
            return ast.UnaryOp(ast.Not(), inner)
        start = self._at
        try:
            return self._comparison()
        except _NotSimpleError:
            self._at = start
        self._need("(")
        inner = self.alternatives()
        self._need(")")
        self._refuse_relation()
        return inner

    def _comparison(self) -> ast.expr:
        left = self._sum()
        relation = _RELATIONS.get(self._peek())
        if relation is None:
            raise _NotSimpleError
        self._at += 1
        right = self._sum()
        # Python would chain a second comparison; CEL compares the bool.
        self._refuse_relation()
        return ast.Compare(left, [relation()], [right])

    def _sum(self) -> ast.expr:
        total = self._product()
        while (operator := _SUMS.get(self._peek())) is not None:
            self._at += 1
            total = ast.BinOp(total, operator(), self._product())
        return total

    def _product(self) -> ast.expr:
        product = self._number()
        while (operator := self._products.get(self._peek())) is not None:
            self._at += 1
            product = ast.BinOp(product, operator(), self._number())
        return product

    def _number(self) -> ast.expr:
        if self._take("-"):
            return ast.UnaryOp(ast.USub(), self._number())
        if self._take("("):
            inner = self._sum()
            self._need(")")
            return inner
        if self._at == len(self._tokens):
            raise _NotSimpleError
        kind, text = self._tokens[self._at]
        self._at += 1
        if kind == "number" and _DOUBLE.fullmatch(text):
            return ast.Constant(float(text))
        if kind == "name" and text in self._arguments:
            return ast.Name(self._arguments[text], ast.Load())
        raise _NotSimpleError

    def _refuse_relation(self) -> None:
        if self._peek() in _RELATIONS:
            raise _NotSimpleError

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _take(self, sign: str) -> bool:
        if self._peek() != sign:
            return False
        self._at += 1
        return True

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise _NotSimpleError


def _join_signs(tokens: Sequence[Token]) -> list[tuple[str, str]]:
    """Return (kind, text) with ``&&``, ``>=`` and the like, and dotted names, as one token each."""
    joined: list[tuple[str, str]] = []
    ends: list[int] = []
    for kind, text, start, end in tokens:
        touches = bool(ends) and ends[-1] == start
        before = joined[-1][1] if joined else ""
        if touches and kind == "sign" and before + text in ("&&", "||", "<=", ">=", "==", "!="):
            joined[-1] = ("sign", before + text)
        elif kind == "sign" and text == "." and joined and joined[-1][0] == "name":
            joined[-1] = ("name", before + ".")
        elif kind == "name" and before.endswith(".") and joined[-1][0] == "name":
            joined[-1] = ("name", before + text)
        else:
            joined.append((kind, text))
            ends.append(end)
            continue
        ends[-1] = end
    return joined
