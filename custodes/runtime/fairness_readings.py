"""From a panel's state to what people, policies and charts are given: readings, gaps of the minute, new alarms.

Pure: no database, no clock. A reading's ``body`` is a JSON object with ``n_group``, ``n_others``, ``unplaced``; the
intervals ``whole`` (since the comparison began) and ``recent`` (since the most likely beginning of a gap), each with
``pairs``, ``gap``, ``low``, ``high``, ``family_low``, ``family_high`` and ``since_ns``; ``statistic``; ``higher``;
``strata``; and ``made_by``, ``audited`` and ``own_gap`` for what the detector contributes itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from custodes.kernel.clock import MINUTE_NS, ns_to_minute
from custodes.runtime.store_fairness import GapRow, PanelKey, StoredReading
from detectors.fairness.audit import SelfAudit, withholds
from detectors.fairness.gap import Interval, Reading
from detectors.fairness.offline import to_statistic
from detectors.fairness.panel import Alarm, Panel
from detectors.model import HALLUCINATION, NEGATIVE_TONE, REFUSAL, TOXICITY
from detectors.outcomes.observe import NEGATIVE, REFUSED, TOXIC, UNGROUNDED

METRICS: Final[Mapping[str, str]] = {
    TOXIC: TOXICITY,
    UNGROUNDED: HALLUCINATION,
    REFUSED: REFUSAL,
    NEGATIVE: NEGATIVE_TONE,
}
"""The metric behind each outcome that a detector makes."""

LEAST_GROWTH: Final = 1.01
"""By which factor pairs grow before an unremarkable gap is read again."""
LONGEST_REST_NS: Final = 5 * MINUTE_NS
"""After which a gap that has grown at all is read again."""


@dataclass(frozen=True, slots=True)
class PanelReadings:
    """What one look at a panel gives: readings and gaps that are worth storing, and the alarms that are new."""

    readings: list[StoredReading]
    gaps: list[GapRow]
    alarms: list[Alarm]


def read_panel(
    key: PanelKey,
    panel: Panel,
    before: Mapping[tuple[str, str], StoredReading],
    audits: Mapping[str, SelfAudit],
    now_ns: int,
) -> PanelReadings:
    """Look at all evidence of ``panel``, whose standing alarms are set; ``before`` is what was read last."""
    claims = {(alarm.group, alarm.outcome): alarm for alarm in panel.look(now_ns)}
    found = PanelReadings([], [], [])
    for group in panel.groups:
        for outcome in panel.outcomes:
            held = before.get((group, outcome))
            claim = claims.get((group, outcome))
            if claim is None and held is not None and _may_rest(held, panel, now_ns):
                continue
            reading = panel.read(group, outcome)
            family = panel.monitor(group, outcome).read(
                panel.rules.epsilon, panel.rules.alpha * panel.share(group, outcome)
            )
            audit = audits.get(METRICS.get(outcome, ""))
            is_withheld = claim is not None and _is_withheld(audit, reading)
            state = "withheld" if is_withheld else panel.state(group, outcome, reading)
            stored = StoredReading(key, group, outcome, state, _body(reading, family, audit, outcome), now_ns)
            found.readings.append(stored)
            if reading.recent.gap is not None:
                found.gaps.append(_gap_row(stored, reading.recent, family.recent, is_withheld, now_ns))
            if claim is not None and not is_withheld:
                found.alarms.append(claim)
    return found


def _may_rest(held: StoredReading, panel: Panel, now_ns: int) -> bool:
    """Return whether what was read before still describes the gap closely enough."""
    pairs = panel.monitor(held.group, held.outcome).history.pairs
    then = int(held.body["whole"]["pairs"])
    if (
        held.state == "withheld"
        or pairs < then
        or (held.state == "gap") != ((held.group, held.outcome) in panel.alarms)
    ):
        return False
    return pairs == then or (pairs < LEAST_GROWTH * then and now_ns - held.at_ns < LONGEST_REST_NS)


def _is_withheld(audit: SelfAudit | None, reading: Reading) -> bool:
    return reading.recent.gap is not None and withholds(audit, reading.recent.gap, others_mean(reading))


def others_mean(reading: Reading) -> float:
    """Return the mean outcome of everybody else in the pairs, in [0, 1]; 0 before the first pair."""
    total = sum((one.other_mean or 0.0) * one.pairs for one in reading.strata)
    return total / max(1, reading.whole.pairs)


def _body(reading: Reading, family: Reading, audit: SelfAudit | None, outcome: str) -> dict[str, Any]:
    return {
        "n_group": reading.members,
        "n_others": reading.others,
        "unplaced": reading.unplaced,
        "whole": _interval_to_json(reading.whole, family.whole),
        "recent": _interval_to_json(reading.recent, family.recent),
        "statistic": to_statistic(reading.log_evidence),
        "higher": reading.higher,
        "strata": _strata_to_json(reading),
        "made_by": METRICS.get(outcome),
        "audited": audit is not None,
        "own_gap": None if audit is None else audit.own_gap(others_mean(reading)),
    }


def _strata_to_json(reading: Reading) -> Sequence[dict[str, Any]]:
    return [asdict(one) for one in reading.strata]


def _interval_to_json(alone: Interval, family: Interval) -> dict[str, Any]:
    return {
        "pairs": alone.pairs,
        "gap": alone.gap,
        "low": alone.low,
        "high": alone.high,
        "family_low": family.low,
        "family_high": family.high,
        "since_ns": alone.since,
    }


def _gap_row(stored: StoredReading, alone: Interval, family: Interval, withheld: bool, now_ns: int) -> GapRow:
    return GapRow(
        stored.key,
        stored.group,
        stored.outcome,
        ns_to_minute(now_ns),
        alone.pairs,
        alone.gap or 0.0,
        alone.low,
        alone.high,
        family.low,
        family.high,
        withheld,
    )
