"""The pieces of spans, log records and data points in OTLP/JSON: ids, numbers, texts, attribute values.

Ids may be hex of either case or base64, 64-bit integers numbers or texts, enumerations numbers or names; ``null`` means
absent, as in the proto3 JSON mapping, and unknown members are ignored. What has the wrong type refuses what carries it
alone.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any

from collector.otlp.loose_json import NestedTooDeepError, loads_loosely
from collector.otlp.spans import Attributes, Value
from collector.otlp.value_limits import Refused, ValueLimits
from custodes.kernel.errors import MalformedError

_HEX = re.compile(r"[0-9a-fA-F]*")
_INT64 = 1 << 63
_DOUBLES = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def parse_document(body: bytes) -> dict[str, Any]:
    """Return the JSON object that ``body`` holds, an empty one for no bytes; raises ``MalformedError``."""
    if not body:
        return {}
    try:
        document = loads_loosely(body)
    except NestedTooDeepError as error:
        raise MalformedError(
            "the body nests lists and objects deeper than can be read, about a thousand levels; send flatter values"
        ) from error
    except ValueError as error:
        raise MalformedError(
            "the body is not valid JSON; check the exporter's protocol, and that Content-Type says "
            "application/json only for JSON"
        ) from error
    if not isinstance(document, dict):
        raise MalformedError("the body is JSON but not an object; send an OTLP export request")
    return document


def list_of(holder: Mapping[str, Any], key: str) -> list[Any]:
    """Return the list ``key``, empty when absent; raises ``MalformedError`` for anything else."""
    value = holder.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise MalformedError(f"{key!r} must be a list, not {type(value).__name__}; see the OTLP/JSON encoding")
    return value


def objects_of(holder: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the list of objects ``key``, empty when absent; raises ``MalformedError`` for anything else."""
    values = list_of(holder, key)
    for value in values:
        if not isinstance(value, dict):
            raise MalformedError(f"{key!r} must hold objects, not {type(value).__name__}; see the OTLP/JSON encoding")
    return values


def object_of(holder: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the object ``key``; an empty one when it is absent or no object."""
    value = holder.get(key)
    return value if isinstance(value, dict) else {}


def elements(value: object) -> list[Any]:
    """Return a list inside a record, empty when absent."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise Refused("malformed")
    return value


def read_id(value: object, size: int) -> str:
    """Return an id of ``size`` bytes as lower-case hex; empty when there is none or its length is wrong."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refused("malformed")
    if len(value) == 2 * size and _HEX.fullmatch(value):
        return value.lower()
    try:
        decoded = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return decoded.hex() if len(decoded) == size else ""


def read_int(value: object) -> int:
    """Return an integer of 64 bits, signed or not; 0 when absent."""
    if value is None:
        return 0
    if isinstance(value, bool):
        raise Refused("malformed")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and len(value) <= 20:
        try:
            value = int(value, 10)
        except ValueError as error:
            raise Refused("malformed") from error
    if isinstance(value, int) and -_INT64 <= value < 2 * _INT64:
        return value
    raise Refused("malformed")


def read_double(value: object) -> float:
    """Return a double from a number, or from text such as ``"NaN"``."""
    if isinstance(value, str) and value in _DOUBLES:
        return _DOUBLES[value]
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Refused("malformed")
    try:
        return float(value)
    except (ValueError, OverflowError) as error:
        raise Refused("malformed") from error


def read_enum(value: object, names: Mapping[str, int]) -> int:
    """Return the number of an enumeration value that is written as number or name."""
    if isinstance(value, str) and value in names:
        return names[value]
    return read_int(value)


def read_text(limits: ValueLimits, value: object) -> str:
    """Return a text, empty when absent."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refused("malformed")
    return limits.check_text(value)


def read_resource(limits: ValueLimits, block: Mapping[str, Any]) -> Attributes:
    """Return what can be read of a resource: a broken or oversized value is left out, its records are not at fault."""
    pairs = block.get("attributes")
    resource: Attributes = {}
    for pair in pairs[: limits.max_attributes] if isinstance(pairs, list) else []:
        try:
            key, value = _read_pair(limits, pair, 1)
        except Refused:
            continue
        resource[key] = value
    return resource


def read_attributes(limits: ValueLimits, pairs: object) -> Attributes:
    """Return the attributes of one record."""
    listed = elements(pairs)
    limits.check_attributes(len(listed))
    return dict(_read_pair(limits, pair, 1) for pair in listed)


def read_value(limits: ValueLimits, value: object, depth: int) -> Value:
    """Return one value, ``depth`` levels below its record; a kind that this release doesn't know is ``None``."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise Refused("malformed")
    for kind, content in value.items():
        if kind in _KINDS_OF_VALUE and content is not None:
            return _KINDS_OF_VALUE[kind](limits, content, depth)
    return None


def _read_pair(limits: ValueLimits, pair: object, depth: int) -> tuple[str, Value]:
    if not isinstance(pair, dict):
        raise Refused("malformed")
    key = pair.get("key", "")
    if not isinstance(key, str):
        raise Refused("malformed")
    return key, read_value(limits, pair.get("value"), depth)


def _read_string(limits: ValueLimits, content: object, depth: int) -> Value:
    text = read_text(limits, content)
    if depth > 1:
        limits.add_nested(len(text))
    return text


def _read_int64(_: ValueLimits, content: object, _depth: int) -> Value:
    number = read_int(content)
    if number >= _INT64:
        raise Refused("malformed")
    return number


def _read_bool(_: ValueLimits, content: object, _depth: int) -> Value:
    if not isinstance(content, bool):
        raise Refused("malformed")
    return content


def _read_bytes(limits: ValueLimits, content: object, depth: int) -> Value:
    if not isinstance(content, str):
        raise Refused("malformed")
    try:
        decoded = limits.check_bytes(base64.b64decode(content, validate=True))
    except (binascii.Error, ValueError) as error:
        raise Refused("malformed") from error
    if depth > 1:
        limits.add_nested(len(decoded))
    return decoded


def _read_array(limits: ValueLimits, content: object, depth: int) -> Value:
    values = _values(content)
    limits.open_nested(depth, len(values))
    return [read_value(limits, one, depth + 1) for one in values]


def _read_kvlist(limits: ValueLimits, content: object, depth: int) -> Value:
    pairs = _values(content)
    limits.open_nested(depth, len(pairs))
    return dict(_read_pair(limits, pair, depth + 1) for pair in pairs)


def _values(content: object) -> list[Any]:
    if not isinstance(content, dict):
        raise Refused("malformed")
    return elements(content.get("values"))


_KINDS_OF_VALUE: dict[str, Callable[[ValueLimits, object, int], Value]] = {
    "stringValue": _read_string,
    "intValue": _read_int64,
    "doubleValue": lambda _limits, content, _depth: read_double(content),
    "boolValue": _read_bool,
    "bytesValue": _read_bytes,
    "arrayValue": _read_array,
    "kvlistValue": _read_kvlist,
}
