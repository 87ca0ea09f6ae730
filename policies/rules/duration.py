"""Durations as people write them in policy files (``15m``, ``1h30m``, ``0``) to nanoseconds."""

from __future__ import annotations

import re

from custodes.kernel.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS

LONGEST_NS = 400 * DAY_NS

_UNITS_NS = {"d": DAY_NS, "h": HOUR_NS, "m": MINUTE_NS, "s": SECOND_NS}
_WHOLE = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?", re.ASCII)


def parse_duration(written: object) -> int:
    """Return the nanoseconds of ``15m``, ``1h30m``, ``2d``, ``90s`` or ``0``.

    Raises ``ValueError`` for anything else, and above 400 days; a bare number other than 0 is
    refused because its unit would be a guess.
    """
    if not isinstance(written, bool) and written in (0, "0"):
        return 0
    match = _WHOLE.fullmatch(written) if isinstance(written, str) and written else None
    if match is None:
        raise ValueError(f"not a duration: {written!r}; write a number with its unit, e.g. 30s, 15m, 1h30m or 2d")
    parts = zip(match.groups(), _UNITS_NS.values(), strict=True)
    total_ns = sum(int(number) * unit_ns for number, unit_ns in parts if number)
    if total_ns > LONGEST_NS:
        raise ValueError(f"{written!r} is longer than the 400 days a duration may have")
    return total_ns


def duration_to_text(duration_ns: int) -> str:
    """Return a duration in the largest units that name it exactly, e.g. ``1h30m``; ``0s`` for none.

    Fractions of a second are cut: policies cannot express them.
    """
    rest_ns, parts = duration_ns, []
    for unit, unit_ns in _UNITS_NS.items():
        count, rest_ns = divmod(rest_ns, unit_ns)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
