"""The job that asks counterfactual probes of the caller's own server and feeds the answers to the paired test.

Off unless ``CUSTODES_PROBE__ENABLED`` says otherwise. A day's calls and tokens are limited; both are set aside in the
database before a call is made, so that a crash can waste budget but never exceed it. Every round is an entry in the
audit log. What was answered is compared and not stored.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from custodes.db import Database, WriteTx
from custodes.db.leases import Lease, acquire_lease, check_lease
from custodes.db.segments import Segment, resolve_segments
from custodes.kernel.clock import DAY_NS, SECOND_NS, Clock
from custodes.kernel.errors import ConfigurationError
from custodes.kernel.ids import new_uuid7
from custodes.kernel.logs import fields, get_logger
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import ProbeSettings, Settings
from custodes.runtime.fairness import PROBE_FAMILY, FairnessHook
from custodes.runtime.probe_client import Answered, Failed, ProbeClient
from custodes.runtime.scoring import ScoringProfile
from custodes.runtime.store_fairness import PanelKey, reserve_probe_budget, settle_probe_budget
from detectors.fairness.probes import Probe, ProbeSet, load_probes
from detectors.model import Exchange
from detectors.outcomes.observe import Call, observe
from policies.audit.intake import append_event
from policies.hooks.address import AddressRules

if TYPE_CHECKING:
    from detectors.fairness.panel import Arrival

log = get_logger("probes")

LEASE: Final = "fairness-probes"
ENVIRONMENT: Final = "probe"
_MOST_FAILURES: Final = 3
# No tokeniser known makes more tokens of our prompts than one for every two characters.
_CHARACTERS_A_TOKEN: Final = 2


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What one round did; ``stopped`` says why it ended early, or is empty."""

    pairs: int = 0
    calls: int = 0
    tokens: int = 0
    failures: int = 0
    stopped: str = ""


class ProbeFairness:
    """Asks a few pairs of probes each round, if this process leads and its detectors are loaded."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
        owner: str,
        profile: Callable[[], ScoringProfile | None],
        *,
        client: ProbeClient | None = None,
        probes: ProbeSet | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._database = database
        self._settings = settings.probe
        self._clock = clock
        self._metrics = metrics
        self._owner = owner
        self._profile = profile
        self._client = client or make_client(settings.probe)
        self._probes = probes or load_probes()
        self._rng = rng or random.Random()
        self._hook = FairnessHook(settings.fairness, metrics)

    def run(self) -> None:
        """Make one round at the present."""
        self.run_at(self._clock())

    def run_at(self, now_ns: int) -> ProbeReport:
        """Make one round as of ``now_ns`` and record it; do nothing while another process leads."""
        profile = self._profile()
        if profile is None:
            return ProbeReport(stopped="the detectors are still loading")
        with self._database.write() as tx:
            ttl_ns = int(max(60.0, 4 * self._settings.timeout_s) * self.pairs_per_round() * SECOND_NS)
            held = acquire_lease(tx, LEASE, self._owner, now_ns=now_ns, ttl_ns=ttl_ns)
        if held is None:
            return ProbeReport(stopped="another process asks")
        report = ProbeReport()
        for _ in range(self.pairs_per_round()):
            report = self._ask_pair(profile, held, report, now_ns)
            if report.stopped:
                break
        self._record(report, now_ns)
        return report

    def pairs_per_round(self) -> int:
        """Return how many pairs a round asks, so that the day's calls are spread over the day."""
        rounds = max(1.0, 86_400 / self._settings.interval_s)
        return max(1, round(self._settings.calls_per_day / rounds / 2))

    def _ask_pair(self, profile: ScoringProfile, held: Lease, report: ProbeReport, now_ns: int) -> ProbeReport:
        pair = self._probes.draw_pair(self._rng)
        most = sum(len(probe.prompt) // _CHARACTERS_A_TOKEN + self._settings.max_output_tokens for probe in pair)
        with self._database.write() as tx:
            check_lease(tx, held)
            if not reserve_probe_budget(
                tx,
                self._settings.project,
                now_ns // DAY_NS,
                calls=2,
                tokens=most,
                most_calls=self._settings.calls_per_day,
                most_tokens=self._settings.tokens_per_day,
            ):
                return replace(report, stopped="the day's budget is spent")
        answers: list[Answered] = []
        problem = ""
        calls = 0
        for probe in pair:
            answer = self._client.ask(probe.prompt)
            calls += 1
            self._metrics.probe_calls.labels(outcome="failed" if isinstance(answer, Failed) else "answered").inc()
            if isinstance(answer, Failed):
                # Half a pair is no pair: what one side would have said is not known.
                problem = answer.reason
                break
            answers.append(answer)
        # A server that doesn't count is taken to have used what was set aside.
        used = sum(one.tokens for one in answers if one.tokens is not None)
        counted = len(answers) == len(pair) and all(one.tokens is not None for one in answers)
        spent = used if counted else most
        # The detectors take their time, so they are asked before anything is locked.
        arrivals = [
            self._to_arrival(profile, probe, answer, now_ns) for probe, answer in zip(pair, answers, strict=False)
        ]
        with self._database.write() as tx:
            check_lease(tx, held)
            settle_probe_budget(tx, self._settings.project, now_ns // DAY_NS, calls=calls - 2, tokens=spent - most)
            if not problem:
                self._fold(tx, arrivals, now_ns)
        failures = report.failures + bool(problem)
        if problem:
            log.warning("a probe got no answer", extra=fields(reason=problem))
        return ProbeReport(
            pairs=report.pairs + (not problem),
            calls=report.calls + calls,
            tokens=report.tokens + spent,
            failures=failures,
            stopped=problem if failures >= _MOST_FAILURES else "",
        )

    def _fold(self, tx: WriteTx, arrivals: Sequence[Arrival], now_ns: int) -> None:
        segment = Segment(self._settings.service, ENVIRONMENT, self._settings.deployment, self._settings.model)
        number = resolve_segments(tx, self._settings.project, [segment])[segment]
        key = PanelKey(self._settings.project, number, PROBE_FAMILY)
        self._hook.fold_panel(tx, key, new_uuid7(now_ns), arrivals, now_ns)

    def _to_arrival(self, profile: ScoringProfile, probe: Probe, answer: Answered, now_ns: int) -> Arrival:
        from detectors.fairness.panel import Arrival  # noqa: PLC0415  # Needs numpy; serving does not.

        exchange = Exchange("probe", probe.prompt, answer.text)
        (result,) = profile.score([exchange])
        call = Call(groups=(probe.group,), finish_reasons=(answer.finish_reason,), latency_ms=answer.latency_ms)
        seen = observe(exchange, result.scores, call, thresholds=self._hook.thresholds)
        return Arrival(frozenset({probe.group}), probe.stratum, seen.outcomes, now_ns)

    def _record(self, report: ProbeReport, now_ns: int) -> None:
        with self._database.write() as tx:
            append_event(
                tx,
                action="fairness.probed",
                actor="fairness-probes",
                role="system",
                object=f"service/{self._settings.service}",
                data={
                    "model": self._settings.model,
                    "pairs": report.pairs,
                    "calls": report.calls,
                    "tokens": report.tokens,
                    "failures": report.failures,
                    "stopped": report.stopped,
                },
                at_ns=now_ns,
                project=self._settings.project,
            )


def make_client(settings: ProbeSettings) -> ProbeClient:
    """Return the client that the settings describe; raise ``ConfigurationError`` for a key that cannot be read."""
    key = None
    if settings.api_key_file is not None:
        try:
            key = settings.api_key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"CUSTODES_PROBE__API_KEY_FILE cannot be read: {type(error).__name__}") from error
        if not key or not key.isascii() or not key.isprintable():
            raise ConfigurationError("CUSTODES_PROBE__API_KEY_FILE holds no key: one line of printable characters")
    return ProbeClient(
        settings.url,
        settings.model,
        AddressRules.of(settings.allowed_private_cidrs, allow_http=settings.allow_http),
        api_key=key,
        max_output_tokens=settings.max_output_tokens,
        timeout_s=settings.timeout_s,
    )
