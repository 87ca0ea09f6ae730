"""Rules about single exchanges, applied inside the transaction that writes their scores.

A match is therefore recorded exactly if the scores are, and its incident opens at once rather than at the next minute.
Most exchanges match nothing and cost one evaluation of ``when`` each; only a match takes a lock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from custodes.db import WriteTx
from custodes.db.segments import Segment
from custodes.kernel.clock import HOUR_NS
from custodes.kernel.errors import CustodesError, UnavailableError
from custodes.kernel.logs import fields, get_logger
from policies.actors import Actor, record
from policies.conduct import Conduct
from policies.decision_store import Match, find_matched, record_matches
from policies.effects import Applied, Step, StepContext, apply_steps
from policies.engine.exchange import ExchangeValues, judge, match
from policies.evaluate import compile_version
from policies.groups import Group
from policies.rollup_store import read_segments_by_id
from policies.rules.compile import CompiledPolicy
from policies.rules.expression import Truth
from policies.signals import place_segment
from policies.store import (
    WATCHING,
    Tally,
    VersionKey,
    add_tallies,
    find_policy_version,
    find_state,
    list_watching,
    load_versions,
    save_states,
)

MAX_LISTED = 50
"""Most exchanges named in one audit event; the others are counted, and stored as matches."""

log = get_logger("exchange_rules")


@dataclass(frozen=True, slots=True)
class ScoredExchange:
    """What a rule may know of one exchange: names to numbers and words, never its text."""

    project: str
    span_row_id: int
    exchange_id: str
    segment_id: int
    values: ExchangeValues


@dataclass(frozen=True, slots=True)
class _Hit:
    """An exchange that matched."""

    exchange: ScoredExchange
    group: Group


class ExchangeRules:
    """The ExchangePolicies of all projects, compiled once each. Use from one thread."""

    def __init__(self, conduct: Conduct) -> None:
        self._conduct = conduct
        self._compiled: dict[VersionKey, CompiledPolicy | None] = {}

    def apply(self, tx: WriteTx, scored: Sequence[ScoredExchange], now_ns: int) -> Applied:
        """Judge freshly scored exchanges, and write what matches lead to, as of ``now_ns``.

        An exchange that is scored again and matched before is not a second match.
        """
        total = Applied()
        by_project: dict[str, list[ScoredExchange]] = defaultdict(list)
        for one in scored:
            by_project[one.project].append(one)
        for project in sorted(by_project):
            policies = self._load(tx, project)
            if not policies:
                continue
            segments = read_segments_by_id(tx, {one.segment_id for one in by_project[project]})
            for key, policy in sorted(policies.items()):
                applied = self._apply_one(tx, key, policy, by_project[project], segments, now_ns)
                total.decisions += applied.decisions
                total.opened += applied.opened
                total.messages += applied.messages
        return total

    def _load(self, tx: WriteTx, project: str) -> dict[VersionKey, CompiledPolicy]:
        keys = [key for key, _ in list_watching(tx, project, "ExchangePolicy")]
        for version in load_versions(tx, [key for key in keys if key not in self._compiled]):
            try:
                self._compiled[version.key] = compile_version(version)
            except CustodesError as error:
                # Scores must be written whatever a policy says; the tick reports the same failure every minute.
                self._compiled[version.key] = None
                log.error("a policy does not compile", extra=fields(policy=version.policy_id, error=str(error)))
        return {key: policy for key in keys if (policy := self._compiled.get(key)) is not None}

    def _apply_one(
        self,
        tx: WriteTx,
        key: VersionKey,
        policy: CompiledPolicy,
        exchanges: Sequence[ScoredExchange],
        segments: Mapping[int, Segment],
        now_ns: int,
    ) -> Applied:
        truths: list[Truth] = []
        hits: list[_Hit] = []
        for one in exchanges:
            group = place_segment(policy, segments[one.segment_id]) if one.segment_id in segments else None
            if group is None:
                continue
            truth = judge(policy, one.values).truth
            truths.append(truth)
            if truth is Truth.TRUE:
                hits.append(_Hit(one, group))
        applied = self._follow_safely(tx, key, policy, hits, now_ns) if hits else Applied()
        if truths:
            no_data, errors = truths.count(Truth.NO_DATA), truths.count(Truth.ERROR)
            tally = Tally(*key, now_ns // HOUR_NS, 0, len(truths), no_data, errors, applied.decisions)
            add_tallies(tx, [tally])
        return applied

    def _follow_safely(
        self, tx: WriteTx, key: VersionKey, policy: CompiledPolicy, hits: Sequence[_Hit], now_ns: int
    ) -> Applied:
        """Follow up matches; a policy whose stored state is damaged must not keep scores from being written."""
        try:
            with tx.nested():
                return self._follow(tx, key, policy, hits, now_ns)
        except UnavailableError:
            raise
        except CustodesError as error:
            log.error("matches could not be followed up", extra=fields(policy=key[1], error=str(error)))
            return Applied()

    def _follow(
        self, tx: WriteTx, key: VersionKey, policy: CompiledPolicy, hits: Sequence[_Hit], now_ns: int
    ) -> Applied:
        # The lock makes workers, and the tick that may resolve, take turns on this version.
        version = find_policy_version(tx, *key, lock=True)
        if version is None or version.state not in WATCHING:
            return Applied()
        known = find_matched(tx, key, [hit.exchange.span_row_id for hit in hits])
        fresh = [hit for hit in hits if hit.exchange.span_row_id not in known]
        by_group: dict[Group, list[_Hit]] = defaultdict(list)
        for hit in fresh:
            by_group[hit.group].append(hit)
        steps = []
        for group in sorted(by_group, key=lambda group: group.key):
            before = find_state(tx, key, group)
            shown = {name: by_group[group][0].exchange.values.get(name) for name in policy.when.order}
            steps.append(Step(before, shown, match(policy, before.state, now_ns)))
        applied = apply_steps(tx, StepContext(*key, self._conduct, now_ns, policy, version.mode), steps)
        save_states(tx, *key, applied.states, now_ns)
        incidents = {state.group: state.incident_id for state in applied.states}
        matches = [Match(hit.exchange.span_row_id, hit.group, now_ns, incidents[hit.group]) for hit in fresh]
        record_matches(tx, key, matches)
        for group, found in sorted(by_group.items(), key=lambda pair: pair[0].key):
            data = {
                "policy_version": key[2],
                "mode": version.mode,
                "group": dict(group.labels),
                "matches": len(found),
                "exchanges": [hit.exchange.exchange_id for hit in found[:MAX_LISTED]],
                "incident": incidents[group],
            }
            record(tx, _ENGINE, "policy.matched", f"policy/{key[1]}", data, key[0], now_ns)
        return applied


_ENGINE = Actor("policy-engine", "system")
