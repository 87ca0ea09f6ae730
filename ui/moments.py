"""Times and durations as people read them. Everything is UTC and says so."""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def clock_text(moment: datetime) -> str:
    """Return the time of day: ``10:00:00 UTC``."""
    return moment.astimezone(UTC).strftime("%H:%M:%S UTC")


def stamp_text(moment: datetime | None) -> str:
    """Return date and time: ``2026-11-21 10:00:00 UTC``; ``unknown`` for None."""
    return "unknown" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def short_stamp_text(moment: datetime) -> str:
    """Return date and time without the zone, for tables whose header names it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def ago_text(moment: datetime, now: datetime) -> str:
    """Return how long ago ``moment`` was, in its largest unit: ``12 s ago``."""
    return f"{span_text((now - moment).total_seconds())} ago"


def span_text(seconds: float) -> str:
    """Return a length of time in its two largest units: ``4 min``, ``3 h 20 min``; negative counts as 0."""
    left = max(0, int(seconds))
    for index, (size, unit) in enumerate(_UNITS):
        if left < size and unit != "s":
            continue
        whole, rest = divmod(left, size)
        if unit in ("d", "h") and rest >= _UNITS[index + 1][0]:
            return f"{whole} {unit} {rest // _UNITS[index + 1][0]} {_UNITS[index + 1][1]}"
        return f"{whole} {unit}"
    return "0 s"


def milliseconds_text(value: float | None) -> str:
    """Return a latency: ``38 ms``, ``1.28 s``; ``unknown`` for None."""
    if value is None:
        return "unknown"
    if value < 1:
        return f"{value:.2f} ms"
    return f"{value:.0f} ms" if value < 999.5 else f"{value / 1000:.2f} s"
