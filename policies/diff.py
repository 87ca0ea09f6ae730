"""How two policy documents differ, field by field, in their canonical forms: layout and comments do not count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from policies.rules.tree import Path, path_to_field

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that differs; ``before`` or ``after`` is absent where the field was added or removed."""

    field: str
    before: Any = None
    after: Any = None
    added: bool = False
    removed: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        kind = "added" if self.added else "removed" if self.removed else "changed"
        return {"field": self.field, "change": kind, "before": self.before, "after": self.after}

    def render(self) -> str:
        """Return it as one line: ``signals.n.window: 15m → 30m``."""
        if self.added:
            return f"+ {self.field}: {_text(self.after)}"
        if self.removed:
            return f"- {self.field}: {_text(self.before)}"
        return f"~ {self.field}: {_text(self.before)} → {_text(self.after)}"


def diff_documents(before: object, after: object) -> list[FieldChange]:
    """Return the fields that differ between two plain documents, in the order of the later one.

    Lists whose items have names (tests) or kinds are compared by position.
    """
    return _diff(before, after, ())


def _diff(before: object, after: object, path: Path) -> list[FieldChange]:
    if isinstance(before, dict) and isinstance(after, dict):
        names = [*after, *(name for name in before if name not in after)]
        pairs = [(before.get(name, _ABSENT), after.get(name, _ABSENT), (*path, name)) for name in names]
    elif isinstance(before, list) and isinstance(after, list):
        longest = max(len(before), len(after))
        pairs = [
            (
                before[index] if index < len(before) else _ABSENT,
                after[index] if index < len(after) else _ABSENT,
                (*path, index),
            )
            for index in range(longest)
        ]
    else:
        # 1, 1.0 and true are different values in a policy's identity.
        same = type(before) is type(after) and before == after
        return [] if same else [FieldChange(path_to_field(path), before, after)]
    changes: list[FieldChange] = []
    for old, new, place in pairs:
        if old is _ABSENT:
            changes.append(FieldChange(path_to_field(place), after=new, added=True))
        elif new is _ABSENT:
            changes.append(FieldChange(path_to_field(place), before=old, removed=True))
        else:
            changes += _diff(old, new, place)
    return changes


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value)
