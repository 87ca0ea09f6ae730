"""What the rest of the house asks of an expression language, so that the library behind it can be swapped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from operator import itemgetter
from typing import Any, Literal, Protocol

VariableType = Literal["double", "string"]
Values = Mapping[str, float | str | None]


class Truth(Enum):
    """The outcome of a predicate. Only ``TRUE`` and ``FALSE`` are verdicts; the others are no pass."""

    TRUE = "true"
    FALSE = "false"
    NO_DATA = "no_data"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A truth and, for ``NO_DATA`` and ``ERROR``, the reason in words (never captured text)."""

    truth: Truth
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Predicate:
    """A compiled boolean expression. ``program`` belongs to the engine that compiled it.

    ``quick`` gives the same truth faster where it exists, as a function of the values of ``order``, all of them there
    and finite.
    """

    source: str
    names: frozenset[str]
    program: object
    order: tuple[str, ...] = ()
    quick: Callable[..., bool] | None = field(default=None, compare=False)
    pick: Callable[[Values], tuple[Any, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare ``pick``, which gives the values of ``order`` and raises ``KeyError`` where one is absent."""
        order = self.order
        several = itemgetter(*order) if len(order) > 1 else lambda values: tuple(values[name] for name in order)
        object.__setattr__(self, "pick", several)


class ExpressionEngine(Protocol):
    """Compiles and evaluates predicates over declared variables; holds no state between calls."""

    def compile(self, source: str, variables: Mapping[str, VariableType]) -> Predicate:
        """Return the compiled predicate; raise ``ExpressionError`` unless it type-checks to a boolean."""
        ...

    def evaluate(self, predicate: Predicate, values: Values) -> Outcome:
        """Return the outcome for ``values``; never raises for a value, a missing one or a failing operation."""
        ...

    def names(self, predicate: Predicate) -> frozenset[str]:
        """Return the declared variables the predicate mentions."""
        ...
