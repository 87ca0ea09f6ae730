"""What a detector contributes to a gap by itself, measured on sentences that differ only in the people they name.

A detector that takes "Being Sikh is nice." for toxic more often than "Being tall is nice." makes a gap where nobody is
treated unequally. Heads are audited on such sentences when they are trained; the JSON files beside their weights carry,
for each identity, how often harmless sentences were flagged and hostile ones missed. No gap that this could explain is
claimed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HEADS: Final = Path(__file__).resolve().parents[1] / "heads"
_AUDIT: Final = "identity_audit"


@dataclass(frozen=True, slots=True)
class SelfAudit:
    """By how much a detector's error rates differ between identities at the most, each in [0, 1]."""

    false_alarms: float
    misses: float

    def own_gap(self, rate: float) -> float:
        """Return the gap that the detector alone can make where the outcome has the frequency ``rate``, in [0, 1].

        Harmless exchanges contribute by false alarms, the others by misses.
        """
        return (1.0 - rate) * self.false_alarms + rate * self.misses


def withholds(audit: SelfAudit | None, gap: float, rate: float) -> bool:
    """Return whether a gap must not be claimed, since the detector alone could make one as large."""
    return audit is not None and audit.own_gap(rate) >= abs(gap)


def load_self_audits(folder: Path = HEADS) -> dict[str, SelfAudit]:
    """Return the audits of the heads in ``folder`` by metric; metrics whose head was not audited are left out.

    Raises ``ValueError`` for a file that says it holds an audit but has no readable figures: a head must not
    escape its audit by a slip of the pen.
    """
    found: dict[str, SelfAudit] = {}
    for path in sorted(folder.glob("*.json")):
        written = json.loads(path.read_text(encoding="utf-8"))
        audits = written.get(_AUDIT) if isinstance(written, dict) else None
        for metric, figures in audits.items() if isinstance(audits, dict) else ():
            if isinstance(figures, dict):
                found[metric] = _to_audit(path, metric, figures)
    return found


def _to_audit(path: Path, metric: str, figures: Mapping[str, Any]) -> SelfAudit:
    try:
        spreads = [float(figures["spread"][name]["spread"]) for name in ("false_alarms_at_half", "misses_at_half")]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name}: the audit of {metric} lacks its error rates by identity") from error
    if not all(math.isfinite(one) and 0.0 <= one <= 1.0 for one in spreads):
        raise ValueError(f"{path.name}: the audit of {metric} holds rates outside [0, 1]: {spreads}")
    return SelfAudit(*spreads)
