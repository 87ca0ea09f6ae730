"""Back-tests: a policy run over stored roll-ups and scores, minute by minute, with the functions of live evaluation.

Nothing looks ahead: at each minute rows are read as of that minute, so a score that came late is seen when the live
engine would have seen it, and one that was computed anew later is not seen at all. Where a version was also evaluated
live, its back-test over the same minutes therefore equals what was recorded; a test of every release holds it to that.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial, reduce
from operator import or_

from custodes.db import ReadTx
from custodes.db.segments import Segment
from custodes.kernel.clock import MINUTE_NS
from policies.engine.episodes import Change, Firing, changes_of, firings_of
from policies.engine.exchange import judge, match, quiet
from policies.engine.state import GroupState
from policies.engine.step import step
from policies.engine.window import NOTHING, Need, Row, Totals, reader_of
from policies.exchange_store import StoredScores, stream_scored
from policies.groups import Group
from policies.rollup_store import Place, Versions, read_segments, read_versions, stream_minutes
from policies.rules.compile import CompiledPolicy, SignalSpec
from policies.rules.expression import Truth
from policies.signals import FurtherValues, Reading, has_further, place_segment, read_further, reading_of, readings_of

KEPT_MINUTES = 24 * 60
"""Windows up to a day remember the rows they will drop; longer ones read them a second time instead."""
_SAY_EVERY = 500

Progress = Callable[[int, int], None]
"""Called with the minutes done and the minutes to do."""
_Minute = tuple[int, list[tuple[int, Row]]]
"""A minute with the rows of its segments."""
_EMPTY = Row(0, 0)


@dataclass(slots=True)
class Run:
    """What a back-test found. ``changed_rows`` counts the roll-ups that said something else then than they do now."""

    from_ns: int
    to_ns: int
    minutes: int = 0
    evaluations: int = 0
    no_data: int = 0
    errors: int = 0
    changed_rows: int = 0
    changes: list[Change] = field(default_factory=list)

    @property
    def firings(self) -> list[Firing]:
        """The episodes in which a group fired."""
        return firings_of(self.changes)

    def count(self, truth: Truth) -> None:
        """Count what could not be told."""
        if truth is Truth.NO_DATA:
            self.no_data += 1
        elif truth is Truth.ERROR:
            self.errors += 1


def run_backtest(
    tx: ReadTx,
    project_id: str,
    policy: CompiledPolicy,
    from_ns: int,
    to_ns: int,
    *,
    progress: Progress | None = None,
    only_minutes: Collection[int] | None = None,
) -> Run:
    """Return what ``policy`` does at the whole minutes in [from, to), beginning with fresh state.

    ``only_minutes`` (since 1970) leaves out those at which nothing was evaluated. Takes O(minutes × groups) time, and
    memory for the rows of at most a day.
    """
    minutes = range(-(-from_ns // MINUTE_NS), -(-to_ns // MINUTE_NS))
    run = Run(from_ns, to_ns)
    if policy.kind == "ExchangePolicy":
        _run_exchanges(tx, project_id, policy, minutes, run, progress, only_minutes)
    elif minutes:
        _run_windows(tx, project_id, policy, minutes, run, progress, only_minutes)
    return run


def _run_windows(
    tx: ReadTx,
    project_id: str,
    policy: CompiledPolicy,
    minutes: range,
    run: Run,
    progress: Progress | None,
    only_minutes: Collection[int] | None,
) -> None:
    groups, places = _place_segments(policy, read_segments(tx, project_id))
    by_metric: dict[str, list[Reading]] = defaultdict(list)
    needs = readings_of([policy])
    for reading in needs:
        by_metric[reading.metric].append(reading)
    feeds: dict[Reading, _Feed] = {}
    with ExitStack() as stack:
        for metric, readings in by_metric.items():
            need = reduce(or_, (needs[reading] for reading in readings))
            source = _Source(tx, project_id, metric, need, minutes, max(reading.minutes for reading in readings))
            stack.callback(source.close)
            run.changed_rows += len(source.versions.rows)
            for reading, entering in zip(readings, itertools.tee(source.open(), len(readings)), strict=True):
                feeds[reading] = _Feed(source, entering, reading.minutes, minutes[0], places, len(groups))
        further = partial(read_further, tx, project_id, policy) if has_further(policy) else None
        _step_minutes(policy, groups, feeds, further, minutes, run, progress, only_minutes)


def _step_minutes(
    policy: CompiledPolicy,
    groups: Sequence[Group],
    feeds: Mapping[Reading, _Feed],
    further: Callable[[int], FurtherValues] | None,
    minutes: range,
    run: Run,
    progress: Progress | None,
    only_minutes: Collection[int] | None,
) -> None:
    sources = [(spec.name, reader_of(spec), _totals_of(feeds, spec, len(groups))) for spec in policy.signals]
    # Groups are numbers here: their names would be hashed millions of times.
    states: dict[int, GroupState] = {} if policy.group_by else {0: GroupState()}
    unseen = set(range(len(groups))) - states.keys()
    numbers = {group: number for number, group in enumerate(groups)}
    more: dict[int, Mapping[str, float | None]] = {}
    for done, minute in enumerate(minutes):
        for feed in feeds.values():
            feed.advance(minute)
        if only_minutes is None or minute in only_minutes:
            run.minutes += 1
            if further is not None:
                found = further(minute * MINUTE_NS)
                more = {numbers[group]: values for group, values in found.items() if group in numbers}
            fresh = {one for one in unseen if one in more or any(feed.totals[one].rows for feed in feeds.values())}
            if fresh:
                unseen -= fresh
                states = dict(sorted({**states, **dict.fromkeys(fresh, GroupState())}.items()))
            run.evaluations += len(states)
            at_ns = minute * MINUTE_NS
            for number, state in states.items():
                values = {name: read(totals[number]) for name, read, totals in sources}
                if number in more:
                    values.update(more[number])
                result = step(policy, state, at_ns, values)
                if result.truth is not Truth.FALSE:
                    run.count(result.truth)
                if result.state is not state:
                    states[number] = result.state
                    if result.transitions:
                        run.changes += changes_of(groups[number], result, values)
        if progress is not None and done % _SAY_EVERY == 0:
            progress(done, len(minutes))
    if progress is not None:
        progress(len(minutes), len(minutes))


def _place_segments(policy: CompiledPolicy, segments: dict[int, Segment]) -> tuple[list[Group], dict[int, int]]:
    """Return the policy's groups by their keys, and the number of its group for every segment inside the scope."""
    placed = {segment_id: place_segment(policy, one) for segment_id, one in segments.items()}
    groups = sorted({group for group in placed.values() if group is not None}, key=lambda group: group.key)
    if not policy.group_by:
        groups = [Group()]
    numbers = {group: number for number, group in enumerate(groups)}
    return groups, {segment_id: numbers[group] for segment_id, group in placed.items() if group is not None}


def _totals_of(feeds: Mapping[Reading, _Feed], spec: SignalSpec, groups: int) -> Sequence[Totals]:
    """Return the totals a signal reads, by group; those of nothing for a signal without a source."""
    feed = feeds.get(reading_of(spec))
    return [NOTHING] * groups if feed is None else feed.totals


class _Source:
    """The stored rows of one metric in the minutes of a back-test, for all windows that read them."""

    def __init__(self, tx: ReadTx, project_id: str, metric: str, need: Need, minutes: range, widest: int) -> None:
        self._where = (tx, project_id, metric, minutes[0] - widest, minutes[-1], need)
        self.versions = read_versions(*self._where, since=minutes[0])
        self._streams: list[Generator[_Minute, None, None]] = []

    def open(self) -> Iterator[_Minute]:
        """Return the minutes from the beginning, read from the database once more."""
        stream = stream_minutes(*self._where)
        self._streams.append(stream)
        return _with_absent(stream, self.versions) if self.versions.rows else stream

    def close(self) -> None:
        """Give back what the database holds."""
        for stream in self._streams:
            stream.close()


class _Feed:
    """One window of one policy, moved minute by minute over stored rows. ``totals`` are by the number of the group."""

    def __init__(
        self,
        source: _Source,
        entering: Iterator[_Minute],
        width: int,
        start: int,
        places: Mapping[int, int],
        groups: int,
    ) -> None:
        self.totals = [Totals() for _ in range(groups)]
        self._width = width
        self._places = places
        self._totals_of = {segment_id: self.totals[number] for segment_id, number in places.items()}
        self._versions = source.versions
        self._present: dict[Place, Row] = {}
        self._due: dict[int, list[Place]] = defaultdict(list)
        for changed, known in self._versions.rows.items():
            for until, _ in known:
                self._due[until].append(changed)
        if width <= KEPT_MINUTES:
            entering, leaving = itertools.tee(entering)
        else:
            leaving = source.open()
        self._entered = start - width
        self._entering, self._leaving = _Ahead(entering, self._entered), _Ahead(leaving, self._entered)

    def advance(self, minute: int) -> None:
        """Make the window hold the minutes before ``minute``, as of it."""
        gone = minute - self._width
        if self._versions.rows:
            self._advance_as_of(minute, gone)
            return
        # The innermost loops of a back-test, where nothing ever changed after it was evaluated.
        totals_of = self._totals_of.get
        for _, entries in self._leaving.until(gone):
            for segment_id, row in entries:
                if (totals := totals_of(segment_id)) is not None:
                    totals.remove(row)
        for _, entries in self._entering.until(minute):
            for segment_id, row in entries:
                if (totals := totals_of(segment_id)) is not None:
                    totals.add(row)

    def _advance_as_of(self, minute: int, gone: int) -> None:
        totals, places = self.totals, self._places
        for at, entries in self._leaving.until(gone):
            for segment_id, row in entries:
                if (number := places.get(segment_id)) is not None:
                    # It was counted as it stood at the evaluation before this one.
                    _remove(totals[number], self._as_of((at, segment_id), row, minute - 1))
        for changed in self._due.pop(minute - 1, ()):
            number = places.get(changed[1])
            if number is not None and gone <= changed[0] < self._entered:
                row = self._present[changed]
                _add(totals[number], self._as_of(changed, row, minute))
                _remove(totals[number], self._as_of(changed, row, minute - 1))
        for at, entries in self._entering.until(minute):
            for segment_id, row in entries:
                if (number := places.get(segment_id)) is not None:
                    if (at, segment_id) in self._versions.rows:
                        self._present[at, segment_id] = row
                    _add(totals[number], self._as_of((at, segment_id), row, minute))
        self._entered = minute

    def _as_of(self, where: Place, present: Row, minute: int) -> Row:
        former = self._versions.as_of(where, minute)
        return present if former is None else former


def _add(totals: Totals, row: Row) -> None:
    """Count a row; one that counts nothing is as good as absent."""
    if row.n or row.not_assessed:
        totals.add(row)


def _remove(totals: Totals, row: Row) -> None:
    if row.n or row.not_assessed:
        totals.remove(row)


class _Ahead:
    """An iterator of the minutes from ``first`` that can stop before one."""

    def __init__(self, minutes: Iterator[_Minute], first: int) -> None:
        self._minutes = itertools.dropwhile(lambda one: one[0] < first, minutes)
        self._next = next(self._minutes, None)

    def until(self, minute: int) -> Iterator[_Minute]:
        """Yield the minutes before ``minute`` that have not been yielded yet."""
        while self._next is not None and self._next[0] < minute:
            yield self._next
            self._next = next(self._minutes, None)


def _with_absent(minutes: Iterator[_Minute], versions: Versions) -> Iterator[_Minute]:
    """Yield minutes, with an empty row in its place for every one that has vanished since."""
    changed: dict[int, set[int]] = defaultdict(set)
    for at, segment_id in versions.rows:
        changed[at].add(segment_id)
    waiting = sorted(changed, reverse=True)
    for minute, entries in minutes:
        while waiting and waiting[-1] < minute:
            at = waiting.pop()
            yield at, [(segment_id, _EMPTY) for segment_id in sorted(changed[at])]
        if waiting and waiting[-1] == minute:
            waiting.pop()
            absent = changed[minute] - {segment_id for segment_id, _ in entries}
            yield minute, [*entries, *((segment_id, _EMPTY) for segment_id in sorted(absent))]
        else:
            yield minute, entries
    while waiting:
        at = waiting.pop()
        yield at, [(segment_id, _EMPTY) for segment_id in sorted(changed[at])]


def _run_exchanges(
    tx: ReadTx,
    project_id: str,
    policy: CompiledPolicy,
    minutes: range,
    run: Run,
    progress: Progress | None,
    only_minutes: Collection[int] | None,
) -> None:
    """Run a rule about single exchanges: each scored together at a time, and a tick at every whole minute."""
    place = _placer(policy, read_segments(tx, project_id))
    states: dict[Group, GroupState] = {}
    ticks = _Ticks(policy, states, minutes, run, progress, only_minutes)
    for at_ns, together in itertools.groupby(
        stream_scored(tx, project_id, policy, run.from_ns, run.to_ns), key=lambda one: one.scored_ns
    ):
        ticks.advance(at_ns)
        hits: dict[Group, StoredScores] = {}
        for one in together:
            group = place(one.segment_id)
            if group is None:
                continue
            truth = judge(policy, one.values).truth
            run.evaluations += 1
            run.count(truth)
            if truth is Truth.TRUE:
                hits.setdefault(group, one)
        for group in sorted(hits, key=lambda group: group.key):
            result = match(policy, states.get(group, GroupState()), at_ns)
            shown = {name: hits[group].values.get(name) for name in policy.when.order}
            run.changes += changes_of(group, result, shown)
            states[group] = result.state
    ticks.advance(minutes.stop * MINUTE_NS if minutes else run.to_ns)


class _Ticks:
    """The whole minutes of a run, at which quiet groups resolve."""

    def __init__(
        self,
        policy: CompiledPolicy,
        states: dict[Group, GroupState],
        minutes: range,
        run: Run,
        progress: Progress | None,
        only_minutes: Collection[int] | None,
    ) -> None:
        self._policy = policy
        self._states = states
        self._minutes = minutes
        self._run = run
        self._progress = progress
        self._only_minutes = only_minutes
        self._done = 0

    def advance(self, until_ns: int) -> None:
        """Do every tick at or before ``until_ns``: at the same time a tick comes before a match."""
        while self._done < len(self._minutes) and self._minutes[self._done] * MINUTE_NS <= until_ns:
            minute = self._minutes[self._done]
            self._done += 1
            if self._only_minutes is None or minute in self._only_minutes:
                self._run.minutes += 1
                self._tick(minute * MINUTE_NS)
            if self._progress is not None and (self._done % _SAY_EVERY == 0 or self._done == len(self._minutes)):
                self._progress(self._done, len(self._minutes))

    def _tick(self, at_ns: int) -> None:
        for group, state in sorted(self._states.items(), key=lambda pair: pair[0].key):
            result = quiet(self._policy, state, at_ns)
            if result.transitions:
                self._run.changes += changes_of(group, result, {})
                self._states[group] = result.state


def _placer(policy: CompiledPolicy, segments: dict[int, Segment]) -> Callable[[int], Group | None]:
    known = {segment_id: place_segment(policy, one) for segment_id, one in segments.items()}
    return known.get
