"""Signal values of a policy from the minute roll-ups: O(changes) from minute to minute, whatever the traffic.

A minute counts once it is complete: its data belong to its end, so the window ``(now - window, now]``
holds the last ``window`` whole minutes before ``now``. Rows are read as of the minute that is evaluated, so the
same stored roll-ups give the same values whenever one asks. What is *no data* is ``None``: any aggregation of nothing,
except ``count``, which is then 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from custodes.db import ReadTx
from custodes.db.segments import Segment
from custodes.kernel.clock import MINUTE_NS, ns_to_minute
from policies.engine.window import NOTHING, Need, Totals, Window, aggregate, merge_totals, need_of
from policies.groups import Group, make_group
from policies.rollup_store import read_changes, read_rows_as_of, read_segments
from policies.rules.compile import CompiledPolicy, SignalSpec
from policies.rules.vocabulary import EXCHANGES_METRIC, FROM_ROLLUPS
from policies.store_drift import read_drift_signals
from policies.store_fairness import read_fairness_signals

SignalValues = dict[str, float | None]
FurtherValues = Mapping[Group, Mapping[str, float | None]]
FurtherSource = Callable[[ReadTx, str, CompiledPolicy, int], FurtherValues]
"""Gives a policy's values from what monitors have written, by group and signal, as of a whole minute.

It must read only what was written for minutes before that one, and monitors must write for the minute of the scoring
transaction, as ``enter_scoring`` gives it, not for that of the exchange: then what it reads as of a minute never
changes afterwards, and a back-test equals live evaluation here too.
"""
FURTHER_SOURCES: tuple[FurtherSource, ...] = (read_fairness_signals, read_drift_signals)

# Every exchange has a latency row, assessed or not, so that row counts exchanges.
CENSUS_METRIC = "latency_ms"


@dataclass(frozen=True, slots=True, order=True)
class Reading:
    """What one window holds: the rows of a metric over so many minutes."""

    metric: str
    minutes: int


def reading_of(spec: SignalSpec) -> Reading:
    """Return the window a signal reads."""
    metric = CENSUS_METRIC if spec.metric == EXCHANGES_METRIC else spec.metric
    return Reading(metric, spec.window_ns // MINUTE_NS)


def readings_of(policies: Iterable[CompiledPolicy]) -> dict[Reading, Need]:
    """Return every window that some policy reads, and what is needed of its rows."""
    needs: dict[Reading, Need] = {}
    for policy in policies:
        for spec in policy.signals:
            if spec.aggregation.name in FROM_ROLLUPS:
                reading = reading_of(spec)
                needs[reading] = needs.get(reading, Need()) | need_of(spec)
    return needs


def reach_of(policies: Iterable[CompiledPolicy]) -> int:
    """Return the longest window of some policies, in minutes."""
    return max((reading.minutes for reading in readings_of(policies)), default=0)


@dataclass(slots=True)
class _Held:
    """A window as of one minute."""

    need: Need
    minute: int
    window: Window[int] = field(default_factory=Window)


class SignalReader:
    """The windows of one project, kept from one evaluation to the next. Use from one thread.

    It may be thrown away at any time: whether a window was slid here or is read afresh, its totals are the same.
    """

    def __init__(self, project_id: str) -> None:
        self._project_id = project_id
        self._held: dict[Reading, _Held] = {}
        self._segments: dict[int, Segment] = {}
        self._groups: dict[tuple[tuple[tuple[str, str], ...], tuple[str, ...]], dict[int, Group | None]] = {}

    def advance(self, tx: ReadTx, needs: Mapping[Reading, Need], now_ns: int) -> None:
        """Bring every window in ``needs`` to ``now_ns``; windows that nobody needs any more are forgotten."""
        minute = ns_to_minute(now_ns)
        self._segments = read_segments(tx, self._project_id)
        self._groups.clear()
        self._held = {reading: held for reading, held in self._held.items() if reading in needs}
        for reading, need in needs.items():
            held = self._held.get(reading)
            if held is None or not held.need.covers(need) or not held.minute <= minute < held.minute + reading.minutes:
                self._held[reading] = self._load(tx, reading, need, minute)
            elif held.minute < minute:
                self._slide(tx, reading, held, minute)

    def read(self, policy: CompiledPolicy, further: FurtherValues | None = None) -> dict[Group, SignalValues]:
        """Return the value of every signal for every group with a row in any window of the policy.

        ``further`` are values that come from elsewhere, see :func:`read_further`. A policy without ``group_by`` always
        has its one group. Only traffic inside ``scope`` counts.
        """
        totals: dict[Reading, dict[Group, Totals]] = {}
        for spec in policy.signals:
            reading = reading_of(spec)
            if reading not in totals and spec.aggregation.name in FROM_ROLLUPS:
                totals[reading] = self._by_group(policy, self._held[reading].window)
        more = further or {}
        groups = {group for found in totals.values() for group in found} | set(more)
        if not policy.group_by:
            groups.add(Group())
        return {
            group: {**group_values(policy, totals, group), **more.get(group, {})}
            for group in sorted(groups, key=lambda group: group.key)
        }

    def _by_group(self, policy: CompiledPolicy, window: Window[int]) -> dict[Group, Totals]:
        parts: dict[Group, list[Totals]] = defaultdict(list)
        placing = self._groups.setdefault((policy.scope, policy.group_by), {})
        for segment_id, totals in window.totals.items():
            if segment_id not in placing:
                placing[segment_id] = place_segment(policy, self._segments[segment_id])
            group = placing[segment_id]
            if group is not None:
                parts[group].append(totals)
        return {group: found[0] if len(found) == 1 else merge_totals(found) for group, found in parts.items()}

    def _load(self, tx: ReadTx, reading: Reading, need: Need, minute: int) -> _Held:
        held = _Held(need, minute)
        rows = read_rows_as_of(
            tx, self._project_id, reading.metric, minute - reading.minutes, minute, need, minute=minute
        )
        for _, segment_id, row in rows:
            held.window.add(segment_id, row)
        return held

    def _slide(self, tx: ReadTx, reading: Reading, held: _Held, minute: int) -> None:
        before, first = held.minute, minute - reading.minutes
        place = (tx, self._project_id, reading.metric)
        for _, segment_id, row in read_rows_as_of(*place, before - reading.minutes, first, held.need, minute=before):
            held.window.remove(segment_id, row)
        for segment_id, former, present in read_changes(*place, first, before, held.need, before=before, after=minute):
            # In this order, so that a key is never taken away more often than it was added.
            held.window.add(segment_id, present)
            held.window.remove(segment_id, former)
        for _, segment_id, row in read_rows_as_of(*place, before, minute, held.need, minute=minute):
            held.window.add(segment_id, row)
        held.minute = minute


def read_signals(tx: ReadTx, project_id: str, policy: CompiledPolicy, now_ns: int) -> dict[Group, SignalValues]:
    """Return the values of one policy's groups at ``now_ns``; see :meth:`SignalReader.read`."""
    reader = SignalReader(project_id)
    reader.advance(tx, readings_of([policy]), now_ns)
    return reader.read(policy, read_further(tx, project_id, policy, now_ns))


def has_further(policy: CompiledPolicy) -> bool:
    """Return whether a signal of the policy reads something else than roll-ups."""
    return any(spec.aggregation.name not in FROM_ROLLUPS for spec in policy.signals)


def read_further(tx: ReadTx, project_id: str, policy: CompiledPolicy, now_ns: int) -> FurtherValues:
    """Return the values of the signals that do not come from roll-ups, for every group that has any."""
    found: dict[Group, dict[str, float | None]] = defaultdict(dict)
    if has_further(policy):
        for source in FURTHER_SOURCES:
            for group, values in source(tx, project_id, policy, now_ns).items():
                found[group].update(values)
    return found


def place_segment(policy: CompiledPolicy, one: Segment) -> Group | None:
    """Return the group of a policy that a segment belongs to; ``None`` when it lies outside its scope."""
    if any(getattr(one, name) != value for name, value in policy.scope):
        return None
    return make_group({name: getattr(one, name) for name in policy.group_by})


def group_values(
    policy: CompiledPolicy, totals: Mapping[Reading, Mapping[Group, Totals]], group: Group
) -> SignalValues:
    """Return the value of every signal of one group."""
    return {spec.name: aggregate(spec, totals.get(reading_of(spec), {}).get(group, NOTHING)) for spec in policy.signals}


def empty_values(policy: CompiledPolicy) -> SignalValues:
    """Return the values of a group without any traffic in its windows."""
    return group_values(policy, {}, Group())
