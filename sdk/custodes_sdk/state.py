"""What :func:`custodes_sdk.init` set up, for the functions that use it. ``None`` before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from custodes_sdk.opinions import OpinionBox
    from custodes_sdk.spans import CustodesSpanProcessor


@dataclass(frozen=True, slots=True)
class Running:
    """One set-up. ``provider`` is where tracers come from; it may be the host's own."""

    provider: Any
    processor: CustodesSpanProcessor
    opinions: OpinionBox
    capture_text: bool
    instrumented: Mapping[str, str]


class _Holder:
    """Holds the one set-up, since a module may not rebind its own names without ``global``."""

    now: Running | None = None


def running() -> Running | None:
    """Return what is set up."""
    return _Holder.now


def begin(running_now: Running) -> None:
    """Set up."""
    _Holder.now = running_now


def end() -> Running | None:
    """Take down, and return what was up."""
    was, _Holder.now = _Holder.now, None
    return was
