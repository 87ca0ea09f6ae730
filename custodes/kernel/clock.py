"""Time as Custodes keeps it: integer unix nanoseconds inside, RFC 3339 UTC outside.

The clock is a value that is passed in, so tests and back-tests choose the time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], int]
"""A function that returns the present as unix nanoseconds."""

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS

_RFC3339 = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)


def system_clock() -> int:
    """Return the wall clock as unix nanoseconds."""
    return time.time_ns()


def ns_to_rfc3339(ns: int) -> str:
    """Return unix nanoseconds as RFC 3339 UTC with microseconds, e.g. ``2026-11-21T10:00:00.000000Z``.

    Nanoseconds below a microsecond are cut, never rounded up into the next second.
    """
    seconds, rest = divmod(ns, SECOND_NS)
    stamp = datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{rest // 1000:06d}Z"


def rfc3339_to_ns(text: str) -> int:
    """Return the unix nanoseconds of an RFC 3339 time; raise ``ValueError`` naming the text otherwise."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time with zone: {text!r}; write e.g. 2026-11-21T10:00:00Z")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    zone_text = "+00:00" if zone in "Zz" else zone
    try:
        moment = datetime.fromisoformat(f"{year}-{month}-{day}T{hour}:{minute}:{second}{zone_text}")
    except ValueError as error:
        raise ValueError(f"no such time: {text!r} ({error})") from error
    return int(moment.timestamp()) * SECOND_NS + int((fraction or "0").ljust(9, "0"))


def ns_to_minute(ns: int) -> int:
    """Return the unix minute (minutes since 1970) that contains ``ns``."""
    return ns // MINUTE_NS
