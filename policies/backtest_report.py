"""What people read of a back-test: firings, would-be actions, the difference to what is active, and people's labels.

The report is plain JSON: it is printed, sent, attached to a version for its reviewers, and kept as evidence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from custodes.db import ReadTx
from custodes.kernel.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, ns_to_rfc3339
from custodes.kernel.errors import CustodesError
from policies.backtest import Progress, Run, run_backtest
from policies.decision_store import list_version_decisions
from policies.effects import intent_to_json
from policies.engine.episodes import Difference, Firing, Judgement, LabelledEpisode, compare_firings, judge_firings
from policies.engine.step import ProposeAction
from policies.evaluate import compile_version
from policies.incident_store import list_incident_events, list_labelled
from policies.rules.compile import CompiledPolicy
from policies.store import PolicyVersion, find_policy_version, list_policy_versions, list_tallies

MAX_LISTED = 500
"""Most firings listed in a report; all of them are counted."""
LONGEST_RECORD_NS = 31 * DAY_NS
"""A version that began earlier than this before a back-test is not replayed from its beginning to compare."""


def report_backtest(
    tx: ReadTx,
    project_id: str,
    policy: CompiledPolicy,
    from_ns: int,
    to_ns: int,
    *,
    labels_from: Sequence[str] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run a back-test over [from, to) and return its report.

    ``labels_from`` names policies whose labelled incidents count besides those of the policy itself.
    """
    run = run_backtest(tx, project_id, policy, from_ns, to_ns, progress=progress)
    firings = run.firings
    episodes = labelled_episodes(tx, project_id, [policy.id, *labels_from], from_ns, to_ns)
    return {
        "policy_id": policy.id,
        "version": policy.version,
        "kind": policy.kind,
        "from": ns_to_rfc3339(from_ns),
        "to": ns_to_rfc3339(to_ns),
        "minutes": run.minutes,
        "evaluations": run.evaluations,
        "no_data": run.no_data,
        "errors": run.errors,
        "changed_rows": run.changed_rows,
        "transitions": len(run.changes),
        "firing": len(firings),
        "firing_s": sum(_duration_s(one, to_ns) for one in firings),
        "firings": [_firing_to_json(one, to_ns) for one in firings[:MAX_LISTED]],
        "actions": _count_actions(firings),
        "active": _compare_with_active(tx, project_id, policy, run, firings),
        "labels": _judgement_to_json(judge_firings(firings, episodes)),
        "recorded": compare_with_record(
            tx, find_policy_version(tx, project_id, policy.id, policy.version), from_ns, to_ns
        ),
    }


def labelled_episodes(
    tx: ReadTx, project_id: str, policy_ids: Sequence[str], from_ns: int, to_ns: int
) -> list[LabelledEpisode]:
    """Return the stretches of labelled incidents that touch [from, to), from their timelines."""
    episodes = []
    for incident in list_labelled(tx, project_id, policy_ids, from_ns, to_ns):
        begun: int | None = None
        spans: list[tuple[int, int | None]] = []
        for event in list_incident_events(tx, incident.id):
            if event.kind in ("opened", "regressed"):
                begun = event.at_ns
            elif event.kind == "resolved" and begun is not None:
                spans.append((begun, event.at_ns))
                begun = None
        if begun is not None:
            spans.append((begun, None))
        episodes += [
            LabelledEpisode(incident.id, dict(incident.group.labels), start, end, incident.label)
            for start, end in spans
            if incident.label is not None and start < to_ns and (end is None or end >= from_ns)
        ]
    return episodes


def compare_with_record(tx: ReadTx, version: PolicyVersion | None, from_ns: int, to_ns: int) -> dict[str, Any]:
    """Return whether a back-test of a stored version equals what its evaluation recorded in [from, to).

    The version is run from its beginning, at exactly the minutes at which it was evaluated. Times, states and
    values of every decision must agree. What cannot be compared says why.
    """
    if version is None:
        return _not_compared("this version was never stored, so nothing was recorded")
    start_ns = version.activated_ns if version.activated_ns is not None else version.shadow_ns
    end_ns = min(to_ns, version.retired_ns or to_ns)
    if start_ns is None or start_ns >= end_ns:
        return _not_compared("this version was not evaluated in this time")
    if start_ns < from_ns - LONGEST_RECORD_NS:
        return _not_compared("this version began more than 31 days before; choose an earlier from")
    try:
        policy = compile_version(version)
    except CustodesError as error:
        return _not_compared(f"the stored text no longer compiles: {error}")
    minutes = evaluated_minutes(tx, version, start_ns, end_ns)
    run = run_backtest(tx, version.project_id, policy, start_ns, end_ns, only_minutes=minutes)
    since_ns = max(from_ns, start_ns)
    expected = sorted(
        (change.group.key, change.transition.at_ns, change.transition.from_state, change.transition.to_state)
        + ((_plain(change.values),) if policy.kind == "Policy" else ())
        for change in run.changes
        if change.transition.at_ns >= since_ns
    )
    recorded = sorted(
        (one.group.key, one.at_ns, one.from_state, one.to_state)
        + ((_plain(one.values),) if policy.kind == "Policy" else ())
        for one in list_version_decisions(tx, version.key, since_ns, end_ns)
    )
    missing = Counter(expected) - Counter(recorded)
    surplus = Counter(recorded) - Counter(expected)
    whole = range(-(-since_ns // MINUTE_NS), -(-end_ns // MINUTE_NS))
    return {
        "compared": True,
        "equal": not missing and not surplus,
        "decisions": len(recorded),
        "minutes": sum(minute in minutes for minute in whole),
        "minutes_not_evaluated": sum(minute not in minutes for minute in whole),
        "only_backtest": [_decision_to_json(one) for one in sorted(missing)][:MAX_LISTED],
        "only_recorded": [_decision_to_json(one) for one in sorted(surplus)][:MAX_LISTED],
    }


def evaluated_minutes(tx: ReadTx, version: PolicyVersion, from_ns: int, to_ns: int) -> set[int]:
    """Return the minutes since 1970, touching [from, to), at which a version was evaluated, from its tallies."""
    _, policy_id, name = version.key
    tallies = list_tallies(
        tx, version.project_id, from_ns // HOUR_NS, to_ns // HOUR_NS + 1, policy_id=policy_id, version=name
    )
    return {tally.hour * 60 + minute for tally in tallies for minute in range(60) if tally.minutes >> minute & 1}


def _plain(values: Any) -> tuple[tuple[str, Any], ...]:
    # Missing values sort beside numbers as text.
    return tuple(sorted((name, repr(value)) for name, value in values.items()))


def _not_compared(reason: str) -> dict[str, Any]:
    return {"compared": False, "reason": reason}


def _compare_with_active(
    tx: ReadTx, project_id: str, policy: CompiledPolicy, run: Run, firings: Sequence[Firing]
) -> dict[str, Any] | None:
    """Return how the firings differ from those of the active version over the same time; ``None`` without one."""
    active = list_policy_versions(tx, project_id, policy_id=policy.id, state="active")
    if not active:
        return None
    version = active[0]
    if version.version == policy.version:
        return {"version": version.version, "same": True}
    try:
        other = compile_version(version)
    except CustodesError as error:
        return {"version": version.version, "same": False, "problem": str(error)}
    theirs = run_backtest(tx, project_id, other, run.from_ns, run.to_ns).firings
    return {"version": version.version, "same": False, "firing": len(theirs)} | _difference_to_json(
        compare_firings(firings, theirs), run.to_ns
    )


def _difference_to_json(difference: Difference, end_ns: int) -> dict[str, Any]:
    return {
        "both": difference.both,
        "only_candidate": [_firing_to_json(one, end_ns) for one in difference.only_candidate[:MAX_LISTED]],
        "only_active": [_firing_to_json(one, end_ns) for one in difference.only_other[:MAX_LISTED]],
    }


def _judgement_to_json(judgement: Judgement) -> dict[str, Any]:
    return {
        "true_alarms": judgement.true_alarms,
        "false_alarms": judgement.false_alarms,
        "unlabelled": judgement.unlabelled,
        "incidents": judgement.incidents,
        "found": judgement.found,
        "missed": list(judgement.missed[:MAX_LISTED]),
        "precision": judgement.precision,
        "recall": judgement.recall,
    }


def _firing_to_json(firing: Firing, end_ns: int) -> dict[str, Any]:
    return {
        "group": dict(firing.group.labels),
        "from": ns_to_rfc3339(firing.from_ns),
        "to": None if firing.to_ns is None else ns_to_rfc3339(firing.to_ns),
        "duration_s": _duration_s(firing, end_ns),
        "values": dict(firing.values),
        "reason": firing.reason,
        "actions": [intent_to_json(intent) for intent in firing.intents if intent.kind in ("notify", "propose_action")],
    }


def _count_actions(firings: Iterable[Firing]) -> list[dict[str, Any]]:
    """Return how often each action would have been taken or proposed."""
    counts: Counter[tuple[str, str]] = Counter()
    for firing in firings:
        for intent in firing.intents:
            if isinstance(intent, ProposeAction):
                counts[intent.action.kind, intent.action.mode] += 1
            elif intent.kind == "notify":
                counts["webhook", "auto"] += 1
    return [{"kind": kind, "mode": mode, "times": times} for (kind, mode), times in sorted(counts.items())]


def _duration_s(firing: Firing, end_ns: int) -> float:
    return ((firing.to_ns if firing.to_ns is not None else end_ns) - firing.from_ns) / SECOND_NS


def _decision_to_json(decision: tuple[Any, ...]) -> dict[str, Any]:
    group, at_ns, from_state, to_state, *values = decision
    shown = {"group": group, "at": ns_to_rfc3339(at_ns), "from": from_state, "to": to_state}
    return shown | ({"values": dict(values[0])} if values else {})
