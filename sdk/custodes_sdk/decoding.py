"""JSON values to frozen dataclasses, guided by the dataclass's own type hints.

Tolerant of what a newer server adds, strict about what this client needs: unknown fields are dropped, a missing
field takes its default, and a missing required field or a wrong type raises ``UnexpectedResponse`` that names
the path, e.g. ``Overview.services[2].exchanges: expected int, got str``.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from custodes_sdk.errors import UnexpectedResponse

T = TypeVar("T")


def decode(kind: type[T], value: object) -> T:
    """Return ``value``, a parsed JSON object, as an instance of the dataclass ``kind``."""
    return cast(T, _decode_dataclass(kind, value, kind.__name__))


def _decode_any(hint: Any, value: object, path: str) -> object:
    if hint is Any or hint is object:
        return value
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _decode_union(hint, value, path)
    if origin is tuple:
        return _decode_list(get_args(hint)[0], value, path)
    if origin is not None and issubclass(origin, Mapping):
        return _decode_mapping(get_args(hint)[1], value, path)
    if dataclasses.is_dataclass(hint):
        return _decode_dataclass(cast(type, hint), value, path)
    if hint is datetime:
        return _decode_time(value, path)
    return _decode_scalar(hint, value, path)


def _decode_union(hint: Any, value: object, path: str) -> object:
    if value is None:
        return None
    choices = [argument for argument in get_args(hint) if argument is not type(None)]
    for choice in choices[:-1]:
        if isinstance(value, choice):
            return value
    return _decode_any(choices[-1], value, path)


def _decode_list(inner: Any, value: object, path: str) -> object:
    if not isinstance(value, list):
        raise _mismatch(path, "a list", value)
    return tuple(_decode_any(inner, element, f"{path}[{index}]") for index, element in enumerate(value))


def _decode_mapping(inner: Any, value: object, path: str) -> object:
    if not isinstance(value, dict):
        raise _mismatch(path, "an object", value)
    return {str(key): _decode_any(inner, element, f"{path}[{key!r}]") for key, element in value.items()}


def _decode_dataclass(kind: type, value: object, path: str) -> object:
    if not isinstance(value, dict):
        raise _mismatch(path, "an object", value)
    arguments: dict[str, object] = {}
    for name, hint, required in _fields(kind):
        if name in value:
            arguments[name] = _decode_any(hint, value[name], f"{path}.{name}")
        elif required:
            raise UnexpectedResponse(f"{path}.{name} is missing from the server's answer; do the versions match?")
    return kind(**arguments)


def _decode_time(value: object, path: str) -> datetime:
    try:
        moment = datetime.fromisoformat(cast(str, value))
    except (TypeError, ValueError):
        raise _mismatch(path, "an RFC 3339 time", value) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _decode_scalar(hint: Any, value: object, path: str) -> object:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, bool):
        raise _mismatch(path, "int", value)
    if not isinstance(value, hint):
        raise _mismatch(path, hint.__name__, value)
    return value


@functools.cache
def _fields(kind: type) -> tuple[tuple[str, Any, bool], ...]:
    hints = get_type_hints(kind)
    missing = dataclasses.MISSING
    return tuple(
        (field.name, hints[field.name], field.default is missing and field.default_factory is missing)
        for field in dataclasses.fields(kind)
    )


def _mismatch(path: str, expected: str, value: object) -> UnexpectedResponse:
    # Only the type is named: the value may be captured text.
    return UnexpectedResponse(f"{path}: expected {expected}, got {type(value).__name__}; do the versions match?")
