"""An action in words: what it would do, and what verification saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custodes_sdk.models import Action
from ui.components.incident_story import value_text


def action_title(action: Action) -> str:
    """Return what an action does: ``Rollback of support-bot@champion from 3 to 2``."""
    target = action.target
    where = next((str(target[name]) for name in ("model", "lora", "repository", "endpoint") if name in target), "")
    if "alias" in target:
        where += f"@{target['alias']}"
    versions = f" from {action.from_version} to {action.to_version}" if action.to_version else ""
    return f"{action.kind.capitalize() or 'Action'}{f' of {where}' if where else ''}{versions}"


def finding_facts(finding: Mapping[str, Any] | None) -> dict[str, str]:
    """Return what verification saw as facts; empty before it looked."""
    if not finding:
        return {}
    facts = {
        "Traffic of": value_text(finding.get("deployment")),
        "What must hold": value_text(finding.get("expr")),
        "Values so far": f"{value_text(finding.get('n'))} of at least {value_text(finding.get('needed'))}",
        "May be wrong with probability": value_text(finding.get("alpha")),
    }
    intervals = finding.get("intervals")
    for name, ends in sorted(intervals.items()) if isinstance(intervals, Mapping) else ():
        facts[f"{name} lies between"] = _interval_text(ends)
    return facts


def _interval_text(ends: object) -> str:
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        return "unknown bounds"
    low, high = ("no bound" if end is None else value_text(end) for end in ends)
    return f"{low} and {high}"
