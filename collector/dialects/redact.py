"""Keeps credentials out of the database: clients put request headers and keys on their spans."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

REDACTED = "[redacted]"
_SECRET_KEY = re.compile(
    r"(?:^|[._-])(?:headers|authorization|proxy[_-]authorization|api[_-]?key|cookie|set[_-]cookie|password|passwd"
    r"|secret|secret[_-]key|access[_-]token|auth[_-]token|private[_-]key)$",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"\A(?:bearer|basic)\s+\S+\Z"
    r"|\bbearer\s+[A-Za-z0-9._~+/=-]{16,}"
    r"|\bsk-[A-Za-z0-9_-]{16,}"
    r"|(?<=authorization\"): ?\"[^\"]*\"",
    re.IGNORECASE,
)


def redact_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes with whole values of secret names, and credentials inside other texts, replaced."""
    return {
        key: REDACTED if value is not None and _SECRET_KEY.search(key) else _redact(value)
        for key, value in attributes.items()
    }


def _redact(value: Any) -> Any:
    if isinstance(value, str):
        return _SECRET_VALUE.sub(_mask, value)
    if isinstance(value, list):
        return [_redact(one) for one in value]
    if isinstance(value, dict):
        return redact_attributes(value)
    return value


def _mask(match: re.Match[str]) -> str:
    """Return the mark, in quotes behind a colon where the match was the value of a JSON member."""
    return f': "{REDACTED}"' if match.group().startswith(":") else REDACTED
