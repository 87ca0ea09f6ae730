"""Just enough CEL lexing to find the names an expression mentions, the divisors in it and what it would cost.

The compiler has accepted the text before these functions see it, so they only need to skip strings
and comments and to find where the operand after a ``/`` or ``%`` ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
    |(?P<string>[rRbB]{0,2}(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'))
    |(?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[uU]?)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)
_NONZERO_LITERAL = re.compile(r"(?=[0.]*[1-9])[0-9]*\.?[0-9]*", re.ASCII)
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")
Token = tuple[str, str, int, int]
"""Kind (string, number, name or sign), text, start and end."""


def mentioned_names(source: str, declared: Iterable[str]) -> frozenset[str]:
    """Return the declared names, dotted ones included, that ``source`` mentions outside strings."""
    tokens = read_tokens(source)
    chains: set[str] = set()
    for start, (kind, text, *_) in enumerate(tokens):
        if kind != "name" or (start and tokens[start - 1][1] == "."):
            continue
        chain, position = text, start
        chains.add(chain)
        while [token[1] for token in tokens[position + 1 : position + 2]] == ["."] and position + 2 < len(tokens):
            position += 2
            chain = f"{chain}.{tokens[position][1]}"
            chains.add(chain)
    return frozenset(name for name in declared if name in chains)


def wrap_operands(source: str, nonzero: str, finite: str) -> str:
    """Return ``source`` with divisors ``d`` written ``nonzero(d)`` and conversions ``finite(double(x))``.

    Literal divisors other than zero stay as they are. The value of the expression is unchanged wherever both
    functions return what they are given.
    """
    tokens = read_tokens(source)
    openings: dict[int, str] = {}
    closings: dict[int, int] = {}

    def wrap(first: int, last: int, function: str) -> None:
        start, end = tokens[first][2], tokens[last][3]
        openings[start] = f"{openings.get(start, '')}{function}("
        closings[end] = closings.get(end, 0) + 1

    for index, (_, text, *_) in enumerate(tokens):
        if text == "/" and index + 1 < len(tokens):
            end = _operand_end(tokens, index + 1)
            if end != index + 1 or not _NONZERO_LITERAL.fullmatch(tokens[end][1]):
                wrap(index + 1, end, nonzero)
        elif text == "double" and index + 1 < len(tokens) and tokens[index + 1][1] == "(":
            wrap(index, _bracket_end(tokens, index + 1), finite)
    pieces = []
    for position in range(len(source) + 1):
        pieces.append(")" * closings.get(position, 0))
        pieces.append(openings.get(position, ""))
        pieces.append(source[position : position + 1])
    return "".join(pieces)


def read_tokens(source: str) -> list[Token]:
    """Return the tokens of ``source``, without spaces and comments."""
    found = ((match.lastgroup or "sign", match[0], match.start(), match.end()) for match in _TOKEN.finditer(source))
    return [token for token in found if token[0] != "space"]


def _operand_end(tokens: list[Token], index: int) -> int:
    """Return the index of the last token of the unary operand that starts at ``index``.

    An operand is signs, then a literal, name or bracketed expression, then any number of member
    accesses, calls and index brackets.
    """
    while tokens[index][1] in "-!" and index + 1 < len(tokens):
        index += 1
    end = _bracket_end(tokens, index)
    while end + 1 < len(tokens):
        following = tokens[end + 1][1]
        if following == "." and end + 2 < len(tokens):
            end += 2
        elif following in ("(", "["):
            end = _bracket_end(tokens, end + 1)
        else:
            break
    return end


def _bracket_end(tokens: list[Token], index: int) -> int:
    """Return where the bracket opened at ``index`` closes; ``index`` itself when no bracket opens there."""
    depth = 0
    for position in range(index, len(tokens)):
        text = tokens[position][1]
        depth += (text in _OPEN) - (text in _CLOSE)
        if depth <= 0:
            return position
    return len(tokens) - 1
