"""JSON as clients write it: what JavaScript and Python put out although it is no JSON is read as well.

JavaScript may cut a string inside a surrogate pair and Python may write bare ``NaN``. Both occur in request
bodies, and in the JSON text that attributes hold.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_OUTSIDE_JSON = re.compile(r"\\u[dD][89a-fA-F]|NaN|Infinity")
_OUTSIDE_JSON_BYTES = re.compile(_OUTSIDE_JSON.pattern.encode())
# What orjson says above 1,024 levels; it has no class of its own for it.
_DEPTH_MESSAGE = "depth limit"


class NestedTooDeepError(ValueError):
    """Lists and objects nest deeper than the parser goes; never leaves ``collector``."""


def loads_loosely(text: str | bytes) -> Any:
    """Return what ``text`` holds; half surrogate pairs become U+FFFD, ``NaN`` and infinities are floats.

    Raises ``NestedTooDeepError`` above about a thousand levels and ``ValueError`` for what is no JSON.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if _DEPTH_MESSAGE in error.msg:
            raise NestedTooDeepError from error
        outside = _OUTSIDE_JSON.search(text) if isinstance(text, str) else _OUTSIDE_JSON_BYTES.search(text)
        if outside is None:
            raise
    try:
        # Half surrogate pairs have no UTF-8 form, so nothing could store them.
        whole = json.dumps(json.loads(text), ensure_ascii=False).encode("utf-16", "surrogatepass")
        return json.loads(whole.decode("utf-16", "replace"))
    except RecursionError as error:
        raise NestedTooDeepError from error
