"""Read JSON without ambiguity, with the standard library only.

Two readers of one document must never see different things, so what JSON leaves open is refused: repeated keys
(RFC 8259 section 4), ``NaN`` and infinities, numbers that overflow to infinity, lone surrogates, a byte order mark,
anything after the value. Numbers are doubles: an integer beyond ±(2^53 − 1) is read as the double it denotes.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from policies.audit.errors import CanonicalError

MAX_EXACT_INT = 2**53 - 1


def parse_object(data: bytes) -> dict[str, Any]:
    """Return the one JSON object that ``data`` holds; raise ``CanonicalError`` on anything else.

    The message never quotes the document, which may be large or private.
    """
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_unique_pairs,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            parse_int=_exact_int,
        )
        if "\\u" in text:
            # Escapes such as "\ud800" survive json.loads; encoding finds a lone surrogate wherever it sits.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except CanonicalError:
        raise
    except UnicodeError as error:
        raise CanonicalError("not valid UTF-8 text; the bytes were altered or are not JSON") from error
    except RecursionError as error:
        raise CanonicalError("JSON nested too deeply to be read") from error
    except ValueError as error:
        raise CanonicalError(f"not JSON: {_place(error)}") from error
    if not isinstance(value, dict):
        raise CanonicalError(f"a JSON object was expected, found {type(value).__name__}")
    return value


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise CanonicalError("a JSON object repeats a key; readers would disagree on its value")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise CanonicalError(f"{name} is not JSON")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise CanonicalError("a JSON number is too large for a double")
    return value


def _exact_int(text: str) -> int | float:
    # Longer digit strings are not exact in a double, and RFC 8785 writes large doubles without an exponent.
    value = _finite_float(text)
    return int(text) if abs(value) <= MAX_EXACT_INT else value


def _place(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    return "a number has too many digits"
