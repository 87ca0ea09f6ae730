"""A profile as a composition of detectors: texts read once for all, failures kept apart, every metric answered.

What a member does wrong stays with it: if it raises, returns the wrong number of answers, a score of a metric that is
not its own, or no score of one that is, its metrics of those exchanges are not assessed with the reason
``detector_error``. The other members and the other exchanges are unaffected.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from detectors.contract import Detector, Findings, SeenExchange, TextFailure, TextReading, TextRequest
from detectors.errors import DetectorError
from detectors.model import (
    DETECTOR_ERROR,
    DetectorIdentity,
    Embedding,
    Exchange,
    ExchangeScores,
    Score,
    Trait,
    not_assessed,
)
from detectors.progress import JUDGING, READING, READING_STAGE, Progress

_LOG = logging.getLogger(__name__)

NAME_PATTERN: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
# Roll-ups keep these beside the scores, by the same kind of name.
RESERVED_NAMES: Final = frozenset(
    {"latency_ms", "ttft_ms", "cost_usd", "input_tokens", "output_tokens", "exchanges", "embedding"}
)
# Exchanges judged at a time: enough that their texts fill batches of like lengths, few enough that answers and readings
# of a large call don't pile up.
CHUNK: Final = 1024
READING_NAME: Final = "reading"
_NOTHING_LEFT_OUT: Final[Mapping[int, Mapping[int, str]]] = MappingProxyType({})

Reading = TextReading | TextFailure


class SharedReader(Protocol):
    """Runs the shared encoder: one reading or failure per request, in order; raises nothing for any text."""

    def read(self, texts: Sequence[TextRequest]) -> list[Reading]: ...

    def forget(self) -> None:
        """Drop what is remembered of earlier texts."""


class Profile:
    """Detectors behind one ``score`` call. Use from one thread; the arithmetic already uses the cores it may.

    Exchanges are worked through in chunks: while the members judge one, the shared encoder reads the next.
    ``progress`` says where it is, for a process that watches.
    """

    def __init__(
        self,
        name: str,
        members: Sequence[Detector],
        reader: SharedReader,
        progress: Progress | None = None,
        *,
        device: str = "cpu",
    ) -> None:
        """``device`` is what computes, in words."""
        check_members(members)
        self.name = name
        self.device = device
        self.progress = Progress() if progress is None else progress
        self._members = tuple(members)
        self._reader = reader
        self._ahead = ThreadPoolExecutor(1, "reading")

    @property
    def members(self) -> tuple[Detector, ...]:
        """The detectors, in the order of their answers."""
        return self._members

    def alone(self, member: Detector) -> Profile:
        """Return a profile of this one member with the same shared encoder, to look at what it does by itself."""
        return Profile(member.identities[0].name, [member], self._reader, device=self.device)

    def metrics(self) -> tuple[str, ...]:
        """Return every metric an exchange is answered for, in the order of the answers."""
        return tuple(metric for member in self._members for metric in member.metrics)

    def traits(self) -> tuple[str, ...]:
        """Return every trait, in the order of the answers."""
        return tuple(trait for member in self._members for trait in member.traits)

    def identities(self) -> tuple[DetectorIdentity, ...]:
        """Return who scores and who embeds here; the same for every exchange."""
        return tuple(dict.fromkeys(identity for member in self._members for identity in member.identities))

    def stages(self) -> tuple[str, ...]:
        """Return the name of each stage of ``progress``: the shared encoder's reading, then each member."""
        return (READING_NAME, *(member.identities[0].name for member in self._members))

    def warm_up(self) -> None:
        """Run one small exchange, so that the first real one doesn't pay for first-time allocations."""
        self.score([Exchange("warm-up", "Where is it?", "It is in the second drawer.", ("Look in the drawer.",))])

    def forget(self) -> None:
        """Drop what is remembered of earlier texts, so that the next call reads them anew."""
        self._reader.forget()

    def score(
        self, exchanges: Sequence[Exchange], leave_out: Mapping[int, Mapping[int, str]] = _NOTHING_LEFT_OUT
    ) -> list[ExchangeScores]:
        """Return one answer per exchange, in order; each holds every metric and every trait with its state.

        Never raises for what a text holds: a text that cannot be scored makes its own metrics not assessed.
        ``leave_out`` maps positions in ``exchanges`` to stages that must not touch them, each with the reason that
        stands in for what they would have said.
        """
        chunks = [range(start, min(start + CHUNK, len(exchanges))) for start in range(0, len(exchanges), CHUNK)]
        answers: list[ExchangeScores] = []
        reading: list[Future[dict[str, Reading]]] = []
        asked: list[_Asked] = []
        for number, chunk in enumerate(chunks):
            for ahead in chunks[len(asked) : number + 2]:
                asked.append(self._ask(exchanges, ahead, leave_out))
                reading.append(self._ahead.submit(self._read, asked[-1].requests))
            answers += self._judge(exchanges, chunk, asked[number], reading[number].result())
            asked[number] = _Asked([], [], [])
        return answers

    def _ask(self, exchanges: Sequence[Exchange], chunk: range, leave_out: Mapping[int, Mapping[int, str]]) -> _Asked:
        """Collect which texts the members want read, once each, with the heads of all that asked."""
        wanted: list[dict[int, list[str]]] = []
        lost: list[dict[int, str]] = []
        heads: dict[str, set[str]] = {}
        for stage, member in enumerate(self._members, start=1):
            texts: dict[int, list[str]] = {}
            reasons: dict[int, str] = {}
            self.progress.enter(JUDGING, stage)
            for index in chunk:
                exchange = exchanges[index]
                if exchange.incomplete is not None:
                    reasons[index] = exchange.incomplete
                    continue
                left_out = leave_out.get(index, {})
                if stage in left_out:
                    reasons[index] = left_out[stage]
                    continue
                self.progress.at(JUDGING, index)
                try:
                    texts[index] = [text for text in member.texts(exchange) if text.strip()]
                except Exception as error:
                    _log_failure(member, error)
                    reasons[index] = DETECTOR_ERROR
                    continue
                if texts[index] and READING_STAGE in left_out:
                    del texts[index]
                    reasons[index] = left_out[READING_STAGE]
                    continue
                for text in texts[index]:
                    names = heads.setdefault(text, set())
                    if member.head is not None:
                        names.add(member.head.name)
            wanted.append(texts)
            lost.append(reasons)
        self.progress.leave(JUDGING)
        return _Asked(wanted, lost, [TextRequest(text, frozenset(heads[text])) for text in sorted(heads)])

    def _read(self, requests: Sequence[TextRequest]) -> dict[str, Reading]:
        if not requests:
            return {}
        self.progress.enter(READING, READING_STAGE)
        try:
            read = self._reader.read(requests)
        finally:
            self.progress.leave(READING)
        return {request.text: reading for request, reading in zip(requests, read, strict=True)}

    def _judge(
        self, exchanges: Sequence[Exchange], chunk: range, asked: _Asked, readings: Mapping[str, Reading]
    ) -> list[ExchangeScores]:
        columns = []
        for stage, member in enumerate(self._members, start=1):
            wanted, column = asked.wanted[stage - 1], asked.lost[stage - 1]
            findings = {index: _nothing(member, reason) for index, reason in column.items()}
            seen = [
                SeenExchange(exchanges[index], {text: readings[text] for text in texts})
                for index, texts in wanted.items()
            ]
            self.progress.enter(JUDGING, stage)
            watched = self.progress.watch(seen, JUDGING, list(wanted))
            findings.update(zip(wanted, _judge(member, watched), strict=True))
            columns.append(findings)
        self.progress.leave(JUDGING)
        return [_combine(exchanges[index], [column[index] for column in columns]) for index in chunk]


@dataclass(frozen=True, slots=True)
class _Asked:
    """By member: the texts wanted of each exchange, and why it judges the others not; then every text to be read."""

    wanted: list[dict[int, list[str]]]
    lost: list[dict[int, str]]
    requests: list[TextRequest]


def check_members(members: Sequence[Detector]) -> None:
    """Raise DetectorError unless names are well formed and no two members claim the same metric or trait."""
    owners: dict[str, str] = {}
    for member in members:
        if not member.identities:
            raise DetectorError(
                f"the detector {type(member).__name__} names no identity, so nothing it says can be signed"
            )
        maker = member.identities[0].name
        for name in (*member.metrics, *member.traits):
            if NAME_PATTERN.fullmatch(name) is None or name in RESERVED_NAMES:
                raise DetectorError(
                    f"{maker} cannot have a metric or trait named {name!r}: use lower-case letters, digits and "
                    f"underscores, at most 32, and none of {', '.join(sorted(RESERVED_NAMES))}"
                )
            if name in owners:
                raise DetectorError(f"{maker} and {owners[name]} both answer for {name!r}; leave one of them out")
            owners[name] = maker


def _judge(member: Detector, seen: Sequence[SeenExchange]) -> list[Findings]:
    if not seen:
        return []
    try:
        answers = list(member.judge(seen))
        if len(answers) != len(seen):
            raise DetectorError(f"{len(answers)} answers for {len(seen)} exchanges")
    except Exception as error:
        if len(seen) == 1:
            _log_failure(member, error)
            return [_nothing(member, DETECTOR_ERROR)]
        return [finding for place in range(len(seen)) for finding in _judge(member, seen[place : place + 1])]
    return [_checked(member, answer) for answer in answers]


def _checked(member: Detector, answer: Findings) -> Findings:
    """Return the answer in the member's own order if it is complete and in its own name, else nothing."""
    try:
        scores = {score.metric: score for score in answer.scores}
        traits = {trait.name: trait for trait in answer.traits}
        if len(scores) != len(answer.scores) or len(traits) != len(answer.traits):
            raise DetectorError("a metric or trait is answered twice")
        if set(scores) != set(member.metrics) or set(traits) != set(member.traits):
            raise DetectorError(f"answered for {sorted((*scores, *traits))}")
        makers = {score.detector for score in answer.scores} | {trait.detector for trait in answer.traits}
        makers |= {embedding.encoder for embedding in answer.embeddings}
        if not makers <= set(member.identities):
            raise DetectorError("signed by an identity that is not the member's")
    except Exception as error:
        _log_failure(member, error)
        return _nothing(member, DETECTOR_ERROR)
    return Findings(
        tuple(scores[metric] for metric in member.metrics),
        tuple(traits[trait] for trait in member.traits),
        answer.embeddings,
    )


def _nothing(member: Detector, reason: str) -> Findings:
    maker = member.identities[0]
    return Findings(
        tuple(not_assessed(metric, reason, maker) for metric in member.metrics),
        tuple(Trait(trait, "not_assessed", reason, {}, maker) for trait in member.traits),
    )


def _combine(exchange: Exchange, findings: Iterable[Findings]) -> ExchangeScores:
    scores: list[Score] = []
    traits: list[Trait] = []
    embeddings: list[Embedding] = []
    for one in findings:
        scores += one.scores
        traits += one.traits
        embeddings += one.embeddings
    return ExchangeScores(exchange.id, tuple(scores), tuple(embeddings), tuple(traits))


def _log_failure(member: Detector, error: Exception) -> None:
    # The error's text may quote what it choked on.
    _LOG.warning(
        "a detector failed on an exchange",
        extra={"detector": member.identities[0].name, "error_type": type(error).__name__},
    )
