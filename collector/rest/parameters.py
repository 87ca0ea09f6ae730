"""Query parameters as values: time ranges, opaque cursors and page sizes.

Every mistake is an ``InvalidInputError`` that names the parameter and shows a value that would do.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from custodes.kernel.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, rfc3339_to_ns
from custodes.kernel.errors import InvalidInputError

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
MAX_RANGE_NS = 366 * DAY_NS

Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, description=f"Rows in one answer, 1 to {MAX_LIMIT}.")]

_RELATIVE = re.compile(r"now(?:-(\d{1,6})([smhd]))?", re.ASCII)
_UNIT_NS = {"s": SECOND_NS, "m": MINUTE_NS, "h": HOUR_NS, "d": DAY_NS}
_MAX_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class TimeRange:
    """From inclusive, to exclusive, unix nanoseconds."""

    from_ns: int
    to_ns: int


class Query(BaseModel):
    """Base of every set of query parameters: a name that is not known is an error, not a filter that does nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RangeQuery(Query):
    """``from`` and ``to``: RFC 3339, or relative such as ``now-1h``."""

    start: str | None = Field(None, alias="from", description="Start, inclusive: RFC 3339 or e.g. now-1h.")
    end: str | None = Field(None, alias="to", description="End, exclusive: RFC 3339 or now.")

    def to_range(self, now_ns: int, *, default_ns: int) -> TimeRange:
        """Return the range; without ``from`` it starts ``default_ns`` before its end, without ``to`` it ends now."""
        end_ns = now_ns if self.end is None else parse_time("to", self.end, now_ns)
        start_ns = end_ns - default_ns if self.start is None else parse_time("from", self.start, now_ns)
        if start_ns >= end_ns:
            raise InvalidInputError(f"from must lie before to; seen from={self.start!r} to={self.end!r}")
        if end_ns - start_ns > MAX_RANGE_NS:
            raise InvalidInputError("from and to are more than 366 days apart; ask for a shorter range")
        return TimeRange(max(0, start_ns), end_ns)

    def bounds(self, now_ns: int) -> tuple[int | None, int | None]:
        """Return from and to as given; ``None`` where nothing was given, which then does not restrict."""
        from_ns = None if self.start is None else parse_time("from", self.start, now_ns)
        to_ns = None if self.end is None else parse_time("to", self.end, now_ns)
        if from_ns is not None and to_ns is not None and from_ns >= to_ns:
            raise InvalidInputError(f"from must lie before to; seen from={self.start!r} to={self.end!r}")
        return from_ns, to_ns


class PageQuery(RangeQuery):
    """A range plus the page of a list."""

    cursor: str | None = Field(None, max_length=200, description="next_cursor of the page before.")
    limit: Limit = DEFAULT_LIMIT


def parse_time(name: str, text: str, now_ns: int) -> int:
    """Return the unix nanoseconds of ``now``, ``now-15m`` or an RFC 3339 time."""
    relative = _RELATIVE.fullmatch(text)
    if relative is not None:
        amount, unit = relative.groups()
        return now_ns - (int(amount) * _UNIT_NS[unit] if amount else 0)
    try:
        return rfc3339_to_ns(text)
    except ValueError as error:
        raise InvalidInputError(
            f"{name} is not a time: {text[:64]!r}; write e.g. 2026-11-21T10:00:00Z, now or now-1h"
        ) from error


def encode_cursor(*key: int | str) -> str:
    """Return the opaque cursor that stands for the sort key of a page's last row."""
    return base64.urlsafe_b64encode(orjson.dumps(key)).rstrip(b"=").decode()


def decode_cursor(cursor: str | None, *kinds: type) -> tuple[Any, ...] | None:
    """Return the sort key inside a cursor, whose parts have exactly these types; ``None`` for no cursor."""
    if cursor is None:
        return None
    try:
        key = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise _bad_cursor() from error
    if not isinstance(key, list) or [type(part) for part in key] != list(kinds):
        raise _bad_cursor()
    if any("\0" in part if isinstance(part, str) else abs(part) > _MAX_NS for part in key):
        raise _bad_cursor()
    return tuple(key)


def _bad_cursor() -> InvalidInputError:
    return InvalidInputError("cursor is not one this list gave out; pass next_cursor unchanged, or start without it")
