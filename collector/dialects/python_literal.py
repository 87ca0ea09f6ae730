"""Lists and objects written the way Python prints them: clients that call ``str`` where they meant JSON."""

from __future__ import annotations

import ast
from typing import Any

# Parsing costs about a hundred times the text in memory, so longer texts stay text.
_LONGEST = 1 << 18
_DEEPEST = 64
_BEGINNINGS = ("{'", "[{'", "['", "[['", "[[{'", "[({'")


def read_python_literal(text: str) -> Any | None:
    """Return the list or object in ``text``; ``None`` for anything else, and beyond 256 KiB or 64 levels.

    Only literals are read, nothing is run. Tuples become lists, names of members text.
    """
    text = text.strip()
    if len(text) > _LONGEST or not text.startswith(_BEGINNINGS):
        return None
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return _to_json(value, _DEEPEST) if isinstance(value, list | dict) and not _is_deeper(value, _DEEPEST) else None


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list | tuple):
        return False
    inside = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(one, levels - 1) for one in inside)


def _to_json(value: Any, levels: int) -> Any:
    if isinstance(value, dict):
        return {str(key): _to_json(one, levels - 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(one, levels - 1) for one in value]
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)
