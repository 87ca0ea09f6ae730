"""Keeps credentials out of the database: clients put request headers and keys on their spans.

Most spans hold none, so what is looked at first is cheap: names are judged once each, and the regular expression over
values runs only where one of the words occurs that every match contains. Only what is kept as attributes is looked at;
messages and documents are not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

REDACTED = "[redacted]"
_SECRET_KEY = re.compile(
    r"(?:^|[._-])(?:headers|authorization|proxy[_-]authorization|api[_-]?key|cookie|set[_-]cookie|password|passwd"
    r"|secret|secret[_-]key|access[_-]token|auth[_-]token|private[_-]key)$",
    re.IGNORECASE,
)
# The names of the schemes are ASCII (RFC 9110 section 11.1), so letters such as the Kelvin sign don't stand for one.
_SECRET_VALUE = re.compile(
    r"\A(?:[Bb][Ee][Aa][Rr][Ee][Rr]|[Bb][Aa][Ss][Ii][Cc])\s+\S+\Z"
    r"|\b[Bb][Ee][Aa][Rr][Ee][Rr]\s+[A-Za-z0-9._~+/=-]{16,}"
    r"|\b[Ss][Kk]-[A-Za-z0-9_-]{16,}"
    r"|(?<=[Aa][Uu][Tt][Hh][Oo][Rr][Ii][Zz][Aa][Tt][Ii][Oo][Nn]\"): ?\"[^\"]*\""
)
# Every text that is redacted contains one, whatever the case of its ASCII letters.
_HINTS = _KEY, _BEARER, _BASIC, _AUTHORIZATION = ("sk-", "bearer", "basic", 'authorization"')
_LONG_NAME = 64
_SEPARATOR = "\n"


def may_hold_credentials(values: Collection[Any]) -> bool:
    """Return whether any of these values of attributes needs a closer look; so cheap that every span gets it.

    Values inside a value always do, but for texts in a list: a name alone can make a value secret.
    """
    texts = [value for value in values if value.__class__ is str]
    if len(texts) < len(values):
        for value in values:
            if value.__class__ is list:
                if any(one.__class__ is not str for one in value):
                    return True
                texts += value
            elif value.__class__ is dict:
                return True
    text = _SEPARATOR.join(texts).lower()
    return _KEY in text or _BEARER in text or _BASIC in text or _AUTHORIZATION in text


def redact_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes with whole values of secret names, and credentials inside other texts, replaced."""
    texts: list[str] = []
    if not _find_texts(attributes, texts):
        text = _SEPARATOR.join(texts).lower()
        if not any(hint in text for hint in _HINTS):
            return dict(attributes)
    return {
        key: REDACTED if value is not None and is_secret_name(key) else _redact(value)
        for key, value in attributes.items()
    }


def is_secret_name(name: str) -> bool:
    """Return whether whatever stands under ``name`` is a credential, or headers that hold one."""
    # A name longer than this is judged by its end, and not remembered: clients choose names, and as many as they like.
    return _is_secret_end(name) if len(name) <= _LONG_NAME else _SECRET_KEY.search(name[-_LONG_NAME:]) is not None


@lru_cache(maxsize=4_096)
def _is_secret_end(name: str) -> bool:
    return _SECRET_KEY.search(name) is not None


def _find_texts(attributes: Mapping[str, Any], texts: list[str]) -> bool:
    """Collect every text below ``attributes``; stop and return true at the first secret name."""
    for name, value in attributes.items():
        if value is None:
            continue
        if _is_secret_end(name) if len(name) <= _LONG_NAME else is_secret_name(name):
            return True
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, list | dict) and _find_nested_texts(value, texts):
            return True
    return False


def _find_nested_texts(value: Any, texts: list[str]) -> bool:
    if isinstance(value, dict):
        return _find_texts(value, texts)
    for one in value:
        if isinstance(one, str):
            texts.append(one)
        elif isinstance(one, list | dict) and _find_nested_texts(one, texts):
            return True
    return False


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
