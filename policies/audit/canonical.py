"""Canonical JSON (RFC 8785, JCS): one value has exactly one sequence of bytes.

What is hashed is always the stored bytes, never a re-serialisation; canonical form makes those bytes predictable, so
two programs that log the same event get the same leaf.

Integers outside ±(2^53 − 1) cannot be exact in JSON readers that use doubles, so they are written as decimal
*strings*: ``{"at_ns": 1795860000000000000}`` becomes ``{"at_ns":"1795860000000000000"}``. A reader that wants the
number must know the field. Non-finite floats, non-string keys, lone surrogates and other types are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rfc8785

from policies.audit.errors import CanonicalError
from policies.audit.strict_json import MAX_EXACT_INT, parse_object


def canonical_bytes(value: Mapping[str, Any]) -> bytes:
    """Return the RFC 8785 bytes of a JSON-able mapping; raise ``CanonicalError`` where there are none."""
    try:
        return rfc8785.dumps(_to_json_value(value))
    except RecursionError as error:
        raise CanonicalError("value nested too deeply, or it contains itself") from error
    except ValueError as error:  # rfc8785's own errors, and keys that do not encode
        raise CanonicalError(f"value has no canonical JSON form: {type(error).__name__}") from error


def parse_canonical(data: bytes) -> dict[str, Any]:
    """Return the object that ``data`` holds if ``data`` is exactly its canonical form, else ``CanonicalError``."""
    value = parse_object(data)
    if canonical_bytes(value) != data:
        raise CanonicalError("JSON is not in canonical form (RFC 8785): key order, spacing or number form differs")
    return value


def _to_json_value(value: Any) -> Any:
    """Copy ``value`` into plain JSON types, large integers as decimal strings."""
    if value is None or isinstance(value, bool | str | float):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) <= MAX_EXACT_INT else str(int(value))
    if isinstance(value, Mapping):
        return {_to_key(key): _to_json_value(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json_value(member) for member in value]
    raise CanonicalError(f"{type(value).__name__} is not a JSON type; convert it before logging")


def _to_key(key: object) -> str:
    if not isinstance(key, str):
        raise CanonicalError(f"object keys must be strings, found {type(key).__name__}")
    return key
