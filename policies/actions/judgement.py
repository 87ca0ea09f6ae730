"""Whether a predicate holds for certain, when each of its signals is only known to lie between two numbers. Pure.

Verification looks at a few minutes of traffic again and again, so a signal is known up to a confidence sequence. The
predicate has held if it is true for every value inside, and has failed if it is false for every value inside; until
one of the two is so, nobody can tell.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from policies.rules.expression import Truth
from policies.rules.quick import parse_simple

Interval = tuple[float, float]
EVERYTHING: Interval = (float("-inf"), float("inf"))


@dataclass(frozen=True, slots=True)
class SimplePredicate:
    """Comparisons of doubles joined by ``&&``, ``||`` and ``!``, over ``names``."""

    tree: ast.expr
    names: tuple[str, ...]


def read_predicate(source: str, names: Sequence[str]) -> SimplePredicate | None:
    """Return a predicate that can be judged over intervals; ``None`` for one that is not simple."""
    tree = parse_simple(source, names)
    return None if tree is None else SimplePredicate(tree, tuple(names))


def judge(predicate: SimplePredicate, known: Mapping[str, Interval | None]) -> Truth:
    """Return TRUE or FALSE when it is that for all values in the intervals, NO_DATA otherwise.

    A name without an interval may be anything.
    """
    bounds = {f"v{index}": known.get(name) or EVERYTHING for index, name in enumerate(predicate.names)}
    verdict = _truth(predicate.tree, bounds)
    return Truth.NO_DATA if verdict is None else Truth.TRUE if verdict else Truth.FALSE


def _truth(node: ast.expr, bounds: Mapping[str, Interval]) -> bool | None:
    if isinstance(node, ast.BoolOp):
        parts = [_truth(one, bounds) for one in node.values]
        decisive = isinstance(node.op, ast.Or)
        if decisive in parts:
            return decisive
        return None if None in parts else not decisive
    if isinstance(node, ast.UnaryOp):
        inner = _truth(node.operand, bounds)
        return None if inner is None else not inner
    assert isinstance(node, ast.Compare)
    return _compare(node.ops[0], _range(node.left, bounds), _range(node.comparators[0], bounds))


def _compare(relation: ast.cmpop, left: Interval, right: Interval) -> bool | None:
    if isinstance(relation, ast.Gt | ast.GtE):
        left, right = right, left
        relation = ast.Lt() if isinstance(relation, ast.Gt) else ast.LtE()
    if isinstance(relation, ast.Lt):
        return True if left[1] < right[0] else False if left[0] >= right[1] else None
    if isinstance(relation, ast.LtE):
        return True if left[1] <= right[0] else False if left[0] > right[1] else None
    apart = left[1] < right[0] or right[1] < left[0]
    same = left[0] == left[1] == right[0] == right[1]
    if not apart and not same:
        return None
    return same if isinstance(relation, ast.Eq) else apart


def _range(node: ast.expr, bounds: Mapping[str, Interval]) -> Interval:
    if isinstance(node, ast.Constant):
        value = float(node.value)  # type: ignore[arg-type]  # The parser makes constants of doubles only.
        return value, value
    if isinstance(node, ast.Name):
        return bounds[node.id]
    if isinstance(node, ast.UnaryOp):
        low, high = _range(node.operand, bounds)
        return -high, -low
    assert isinstance(node, ast.BinOp)
    left, right = _range(node.left, bounds), _range(node.right, bounds)
    if isinstance(node.op, ast.Add):
        return left[0] + right[0], left[1] + right[1]
    if isinstance(node.op, ast.Sub):
        return left[0] - right[1], left[1] - right[0]
    products = [_times(a, b) for a in left for b in right]
    return min(products), max(products)


def _times(a: float, b: float) -> float:
    """Return the product of two ends; nothing times anything is nothing, even where anything has no bound."""
    return 0.0 if 0.0 in (a, b) else a * b
