"""Takes scored exchanges into the fairness monitors, inside the transaction that writes their scores.

Every (service, environment, deployment, model) has panels of its own: one for each axis of groups that callers name
(``caller:<axis>``), and one for groups that prompts mention (``prompt``). Inside a panel, exchanges are compared only
in the same language and with prompts of the same topic. Only sums are written here; the evidence is looked at by
``custodes.runtime.fairness_watch``.

An exchange counts once, when it is first scored: scored again, by a newer detector or for a more complete copy, it has
been compared already. So has a call that another span tells as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from collector.exchanges import StoredExchange
from custodes.db import WriteTx
from custodes.kernel.logs import fields, get_logger
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import FairnessSettings
from custodes.runtime.store_fairness import (
    PanelKey,
    claim_segments,
    find_told_again,
    load_panel,
    load_topics,
    save_panel,
    save_topics,
)
from custodes.runtime.store_outcomes import Pair
from detectors.model import Exchange, ExchangeScores
from detectors.outcomes.observe import (
    FROM_CALLER,
    FROM_PROMPT,
    OUTCOMES,
    Call,
    Observation,
    Thresholds,
    observe,
)

if TYPE_CHECKING:
    from detectors.fairness.panel import Arrival, FairnessRules, Panel

log = get_logger("fairness")

PROMPT_FAMILY: Final = "prompt"
PROBE_FAMILY: Final = "probe"
CALLER_FAMILY: Final = "caller:"
UNKNOWN_LANGUAGE: Final = "und"
_PROMPT_LANGUAGE: Final = "prompt_language"


def rules_of(settings: FairnessSettings) -> FairnessRules:
    """Return the settings as the panel wants them."""
    from detectors.fairness.panel import FairnessRules  # noqa: PLC0415  # Needs numpy; serving does not.

    return FairnessRules(settings.epsilon, settings.alpha, settings.min_pairs, settings.max_groups)


class FairnessHook:
    """Folds what was just scored into its panels. Use from one thread."""

    def __init__(self, settings: FairnessSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self.thresholds = Thresholds(
            refused=settings.refused,
            negative=settings.negative,
            toxic=settings.toxic,
            ungrounded=settings.ungrounded,
            slow_ms=settings.slow_ms,
        )

    def __call__(self, tx: WriteTx, pairs: Sequence[Pair], now_ns: int) -> None:
        """Compare the exchanges of ``pairs`` that are scored for the first time."""
        fresh = [pair for pair in pairs if pair[0].rolled_minute is None]
        if not self._settings.enabled or not fresh:
            return
        told_again = find_told_again(tx, [stored.trace_id for stored, _ in fresh])
        fresh = [pair for pair in fresh if pair[0].trace_id not in told_again]
        places: defaultdict[tuple[str, int], list[Pair]] = defaultdict(list)
        # By time, so that exchanges which ended together meet; what the time is decides nothing else.
        for pair in sorted(fresh, key=lambda pair: (pair[0].at_ns, pair[0].span_row_id)):
            places[pair[0].project, pair[0].segment_id].append(pair)
        claim_segments(tx, list(places))
        for (project, segment_id), here in sorted(places.items()):
            self._fold_segment(tx, project, segment_id, here, now_ns)

    def _fold_segment(self, tx: WriteTx, project: str, segment_id: int, here: Sequence[Pair], now_ns: int) -> None:
        topics = self._assign_topics(tx, project, segment_id, here)
        arrivals: defaultdict[PanelKey, defaultdict[str, list[Arrival]]] = defaultdict(lambda: defaultdict(list))
        for (stored, result), topic in zip(here, topics, strict=True):
            seen = self._observe(stored, result)
            stratum = f"{_language_of(result)}/{topic}"
            for family, arrival in to_arrivals(seen, stratum, stored.at_ns):
                arrivals[PanelKey(project, segment_id, family)][str(stored.batch_id)].append(arrival)
        for key, batches in sorted(arrivals.items()):
            self._fold_panel(tx, key, batches, now_ns)

    def fold_panel(self, tx: WriteTx, key: PanelKey, batch: str, arrivals: Sequence[Arrival], now_ns: int) -> None:
        """Fold arrivals that do not come from traffic into one panel."""
        claim_segments(tx, [(key.project, key.segment_id)])
        self._fold_panel(tx, key, {batch: arrivals}, now_ns)

    def _fold_panel(self, tx: WriteTx, key: PanelKey, batches: Mapping[str, Sequence[Arrival]], now_ns: int) -> None:
        held = load_panel(tx, key)
        panel = self._open(key, None if held is None else held.body)
        if panel is None:
            return
        for batch, arrivals in batches.items():
            panel.fold(batch, arrivals)
        save_panel(tx, key, panel.to_json(), now_ns)

    def _open(self, key: PanelKey, body: Mapping[str, object] | None) -> Panel | None:
        """Return the panel, or ``None`` for a damaged state: scoring must go on, so it is only counted and logged."""
        from detectors.fairness.panel import Panel  # noqa: PLC0415  # Needs numpy; serving does not.

        rules = rules_of(self._settings)
        if body is None:
            return Panel(rules, OUTCOMES)
        try:
            return Panel.from_json(rules, body)
        except (ValueError, KeyError, TypeError) as error:
            self._metrics.fairness_damaged.inc()
            log.error("a fairness state is damaged", extra=fields(segment=key.segment_id, error=str(error)))
            return None

    def _observe(self, stored: StoredExchange, result: ExchangeScores) -> Observation:
        exchange = Exchange(
            stored.trace_id + stored.span_id, stored.prompt, stored.response, stored.contexts, stored.incomplete
        )
        ended = stored.complete and stored.end_ns >= stored.start_ns
        language = _language_of(result)
        call = Call(
            groups=stored.caller_groups,
            finish_reasons=stored.finish_reasons,
            latency_ms=(stored.end_ns - stored.start_ns) / 1e6 if ended else None,
            prompt_language=None if language == UNKNOWN_LANGUAGE else language,
        )
        return observe(exchange, result.scores, call, thresholds=self.thresholds)

    def _assign_topics(self, tx: WriteTx, project: str, segment_id: int, here: Sequence[Pair]) -> list[str]:
        from detectors.fairness.topics import PromptTopics  # noqa: PLC0415  # Needs numpy; serving does not.

        written = load_topics(tx, project, segment_id)
        try:
            topics = PromptTopics() if written is None else PromptTopics.from_json(written)
        except (ValueError, KeyError, TypeError) as error:
            self._metrics.fairness_damaged.inc()
            log.error("stored topics are damaged and learnt anew", extra=fields(segment=segment_id, error=str(error)))
            topics = PromptTopics()
        before = (topics.generation, sum(topics.counts))
        found = []
        for _, result in here:
            prompt = next((one for one in result.embeddings if one.field == "prompt"), None)
            if prompt is None:
                found.append(topics.assign("", None))
            else:
                found.append(topics.assign(prompt.encoder.digest, prompt.vector))
        if before != (topics.generation, sum(topics.counts)):
            save_topics(tx, project, segment_id, topics.to_json())
        return found


def to_arrivals(seen: Observation, stratum: str, mark: int) -> Iterable[tuple[str, Arrival]]:
    """Yield what each panel is told of an exchange, with the panel's family.

    Groups that callers name are compared with the other groups of their axis; groups that prompts mention with every
    prompt that doesn't mention them. An exchange whose groups are unknown is compared with nothing.
    """
    from detectors.fairness.panel import Arrival  # noqa: PLC0415  # Needs numpy; serving does not.

    if seen.source == FROM_CALLER:
        axes: defaultdict[str, set[str]] = defaultdict(set)
        for group in seen.groups:
            axes[group.partition(":")[0]].add(group)
        for axis, groups in sorted(axes.items()):
            yield f"{CALLER_FAMILY}{axis}", Arrival(frozenset(groups), stratum, seen.outcomes, mark)
    elif seen.source == FROM_PROMPT:
        yield PROMPT_FAMILY, Arrival(frozenset(seen.groups), stratum, seen.outcomes, mark)


def _language_of(result: ExchangeScores) -> str:
    """Return the prompt's language as the detectors found it, ``und`` where none did."""
    for trait in result.traits:
        if trait.name == _PROMPT_LANGUAGE and trait.labels:
            return max(trait.labels, key=lambda label: (trait.labels[label], label))
    return UNKNOWN_LANGUAGE
