"""Whether an action helped: an anytime-valid test on the traffic of the version that was restored, and on no other.

``Measure`` gives, for one signal, an interval that holds at every look with the probability asked for; who builds the
process passes it in. Looking every few seconds is therefore allowed. Too little traffic, a predicate that nobody can
bound, and an interval that still straddles the line at the end are all *inconclusive*, never a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from custodes.db import ReadTx
from custodes.kernel.clock import MINUTE_NS, ns_to_minute
from policies.actions.action import Action, Verdict
from policies.actions.judgement import Interval, judge, read_predicate
from policies.actions.traffic_store import MetricTotals, read_totals
from policies.rules.cel import CelEngine
from policies.rules.compile import CompiledPolicy, SignalSpec
from policies.rules.document import Verify
from policies.rules.expression import Truth

Measure = Callable[[SignalSpec, MetricTotals, float], Interval | None]
"""From signal, sums and error probability to the interval of its value; ``None`` where it has no bound."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look: a verdict, or ``None`` to look again; why, and the figures it rests on."""

    verdict: Verdict | None
    reason: str
    finding: Mapping[str, Any]


def look(
    tx: ReadTx, action: Action, verify: Verify, policy: CompiledPolicy, measure: Measure, alpha: float, now_ns: int
) -> Look:
    """Return what the restored version's traffic says so far; changes nothing.

    Traffic counts from the first whole minute after ``verify_from_ns`` to the last whole one.
    """
    until_ns = action.verify_until_ns or now_ns
    is_over = now_ns >= until_ns
    if policy.kind != "Policy":
        return Look("inconclusive", "a rule about single exchanges has no signals to verify with", {})
    engine = CelEngine()
    names = sorted(engine.names(engine.compile(verify.expr, {one.name: "double" for one in policy.signals})))
    predicate = read_predicate(verify.expr, names)
    if predicate is None:
        return Look("inconclusive", "verify.expr is no comparison of signals, so it has no bounds to hold to", {})
    if action.deployment is None:
        return Look("inconclusive", "nobody said under which deployment the restored version's traffic arrives", {})
    specs = [one for one in policy.signals if one.name in names]
    labels = {**dict(policy.scope), "deployment": action.deployment}
    minutes = (-(-(action.verify_from_ns or now_ns) // MINUTE_NS), ns_to_minute(min(now_ns, until_ns)))
    known: dict[str, Interval | None] = {}
    counts: dict[str, int] = {}
    for spec in specs:
        totals = read_totals(tx, action.project_id, labels, spec.metric, *minutes)
        counts[spec.name] = totals.n
        known[spec.name] = measure(spec, totals, alpha / max(1, len(specs)))
    n = min((counts[one.name] for one in specs), default=0)
    finding = {
        "deployment": action.deployment,
        "expr": verify.expr,
        "n": n,
        "needed": verify.min_n,
        "alpha": alpha,
        "minutes": max(0, minutes[1] - minutes[0]),
        "intervals": {name: None if ends is None else [_finite(end) for end in ends] for name, ends in known.items()},
    }
    if n < verify.min_n:
        reason = f"{n} of {verify.min_n} values from {action.deployment} so far"
        return Look("inconclusive" if is_over else None, f"{reason}; the time is over" if is_over else reason, finding)
    truth = judge(predicate, known)
    if truth is Truth.TRUE:
        return Look("helped", f"{verify.expr} holds on {n} values from {action.deployment}", finding)
    if truth is Truth.FALSE:
        return Look("not_helped", f"{verify.expr} does not hold on {n} values from {action.deployment}", finding)
    reason = f"{n} values from {action.deployment} leave open whether {verify.expr}"
    return Look("inconclusive" if is_over else None, reason, finding)


def _finite(end: float) -> float | None:
    return end if abs(end) != float("inf") else None
