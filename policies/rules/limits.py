"""What an expression may not do, found in its tokens before the compiler sees it.

The compiler bounds nesting and the interpreter bounds iterations, but not what one iteration makes:
``['x'].map(x, x + x).map(x, x + x)…`` doubles a string 26 times in 300 characters (measured: 1.7 s and 1 GB for one
evaluation), and a list literal inside nested macros is built ten thousand times (0.3 s). So macros are few, and the
expression around them is short: the dearest one found that passes takes two milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from policies.errors import ExpressionError
from policies.rules.tokens import Token, read_tokens

MACROS = ("all", "exists", "exists_one", "filter", "map")
"""All that iterate; a test holds that the compiler knows no others."""
MOST_MACROS = 2
MOST_TOKENS_WITH_MACROS = 100
MOST_CHARACTERS_WITH_MACROS = 1000
MOST_SIGNS_IN_A_ROW = 16


def refuse_costly(source: str) -> None:
    """Raise ``ExpressionError`` where ``source`` could cost more than a policy may, or holds what no value can be."""
    for offset, character in enumerate(source):
        if "\ud800" <= character <= "\udfff":
            raise ExpressionError(f"{place_of(source, offset)}: half a character (a lone surrogate) is no text")
    tokens = read_tokens(source)
    _refuse_macros(source, tokens)
    in_a_row = 0
    for token in tokens:
        in_a_row = in_a_row + 1 if token[1] in ("-", "!") else 0
        if in_a_row > MOST_SIGNS_IN_A_ROW:
            raise _error(source, token, f"more than {MOST_SIGNS_IN_A_ROW} signs in a row")
        if token[0] == "number" and not _is_finite(token[1]):
            raise _error(source, token, f"{token[1][:40]} is too large for a number")


def place_of(source: str, offset: int) -> str:
    """Return where ``offset`` lies in an expression, as findings say it."""
    line = source.count("\n", 0, offset) + 1
    column = offset - source.rfind("\n", 0, offset)
    return f"column {column}" if line == 1 else f"line {line}, column {column} of the expression"


def _refuse_macros(source: str, tokens: Sequence[Token]) -> None:
    macros = [
        token
        for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False)
        if token[1] in MACROS and before[1] == "." and after[1] == "("
    ]
    if len(macros) > MOST_MACROS:
        message = f"an expression has at most {MOST_MACROS} of {', '.join(MACROS)}, not {len(macros)}"
        raise _error(source, macros[MOST_MACROS], message)
    if macros and len(tokens) > MOST_TOKENS_WITH_MACROS:
        message = f"an expression with {macros[0][1]}() has at most {MOST_TOKENS_WITH_MACROS} names, numbers and signs"
        raise _error(source, macros[0], f"{message}, not {len(tokens)}")
    if macros and len(source) > MOST_CHARACTERS_WITH_MACROS:
        message = f"an expression with {macros[0][1]}() has at most {MOST_CHARACTERS_WITH_MACROS} characters"
        raise _error(source, macros[0], f"{message}, not {len(source)}")


def _is_finite(number: str) -> bool:
    return number[:2] in ("0x", "0X") or math.isfinite(float(number.rstrip("uU")))


def _error(source: str, token: Token, message: str) -> ExpressionError:
    return ExpressionError(f"{place_of(source, token[2])}: {message}")
