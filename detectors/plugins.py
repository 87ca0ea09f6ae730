"""Detectors that other distributions add, found by the entry-point group ``custodes.detectors``.

An installed plug-in changes nothing until it is named: whoever installs a package for another reason must not find its
opinions among the scores. What a plug-in does wrong when it scores stays with it (``detectors.composition``,
``detectors.isolation``); one that cannot be loaded stops the start, since a detector that was asked for and is quietly
missing would be worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from detectors.contract import ENTRY_POINT_GROUP, Detector, Setup
from detectors.errors import DetectorError

_PARTS: Final = ("identities", "metrics", "traits", "head", "texts", "judge")


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed plug-in: its name, and the distribution it comes from with its version."""

    name: str
    distribution: str
    version: str


def list_plugins() -> list[Plugin]:
    """Return every installed plug-in by name, without importing any."""
    found = [_describe(one) for one in entry_points(group=ENTRY_POINT_GROUP)]
    return sorted(found, key=lambda one: (one.name, one.distribution))


def load_plugins(names: Sequence[str], setup: Setup) -> list[Detector]:
    """Load the plug-ins of these names, in this order.

    Raises DetectorError naming the plug-in if it isn't installed, if two distributions offer it, if it is named twice,
    or if it cannot be loaded.
    """
    if len(set(names)) < len(names):
        raise DetectorError(f"a plug-in is named twice: {', '.join(names)}")
    return [_load(name, setup) for name in names]


def _load(name: str, setup: Setup) -> Detector:
    offered = [one for one in entry_points(group=ENTRY_POINT_GROUP) if one.name == name]
    if not offered:
        there = ", ".join(one.name for one in list_plugins()) or "none"
        raise DetectorError(f"no detector plug-in {name!r} is installed; installed: {there}")
    if len(offered) > 1:
        sources = ", ".join(_describe(one).distribution for one in offered)
        raise DetectorError(f"several distributions offer a detector plug-in {name!r}: {sources}; remove all but one")
    source = _describe(offered[0])
    made_by = f"detector plug-in {name!r} of {source.distribution} {source.version}"
    try:
        detector: Detector = offered[0].load()(setup)
    except DetectorError as error:
        raise DetectorError(f"{made_by} cannot be loaded: {error}") from error
    except Exception as error:
        raise DetectorError(f"{made_by} cannot be loaded: {type(error).__name__}: {error}") from error
    missing = [part for part in _PARTS if not hasattr(detector, part)]
    if missing:
        raise DetectorError(f"{made_by} is no detector: it has no {', '.join(missing)}; see detectors/contract.py")
    return detector


def _describe(entry: EntryPoint) -> Plugin:
    source = entry.dist
    return Plugin(entry.name, source.name if source else "unknown", source.version if source else "unknown")
