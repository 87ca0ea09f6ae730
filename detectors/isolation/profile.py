"""A profile in a process of its own, so that a detector that hangs or dies costs one text and not the server.

A thread that hangs cannot be ended, and one that hangs inside C code, as a regular expression does, holds the
interpreter's lock, so nothing else in its process runs either. Only another process can watch it and end it. The child
writes down where it is (``detectors.progress``); when that has not moved for ``limit_s``, the child is killed and
started again, and the exchange in hand is tried alone. If it hangs again, the detector that hung answers "not assessed"
for it with the reason ``detector_timeout``; everything else about it, and all others, are scored. A child that dies, be
it of a crash or for memory, is treated alike with the reason ``detector_error``.

The price is a second process: about a second at start and a few microseconds an exchange. The gain is more than
isolation: the arithmetic and the detectors no longer share an interpreter with the server.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

from detectors.batching.cache import LruCache
from detectors.errors import DetectorError, ScoringProcessError
from detectors.isolation.child import Child, Lost
from detectors.isolation.messages import Answer, Loader, Ready, Refused, Request, Start
from detectors.model import DETECTOR_TIMEOUT, DetectorIdentity, Exchange, ExchangeScores

_LOG = logging.getLogger(__name__)

LIMIT_S: Final = 60.0
LOAD_LIMIT_S: Final = 900.0
# Exchanges tried together once something among more of them hung and nothing tells which.
GROUP: Final = 32
# A detector that hung on this many different exchanges is asked no more until the process starts again.
MOST_HANGS: Final = 10
_REMEMBERED: Final = 10_000


class IsolatedProfile:
    """A detector profile whose work is done by a child process. Use from one thread at a time; close when done."""

    def __init__(
        self,
        loader: Loader,
        *,
        limit_s: float = LIMIT_S,
        load_limit_s: float = LOAD_LIMIT_S,
        offline: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start the child and wait until its profile is loaded and warm.

        ``offline`` means that whatever runs in the child is refused every connection but those within this machine's
        file system. ``environment`` is the child's; None means this process's. Raises DetectorError with the child's
        reason if the profile cannot be loaded.
        """
        self._loader = loader
        self._limit_s = limit_s
        self._load_limit_s = load_limit_s
        self._offline = offline
        self._environment = environment
        self._closed = False
        self._lock = threading.Lock()
        self._known: LruCache[Mapping[int, str]] = LruCache(_REMEMBERED)
        self._hangs: Counter[int] = Counter()
        self._child: Child | None = None
        self._ready = self._start()

    @property
    def name(self) -> str:
        """The profile's name."""
        return self._ready.name

    @property
    def device(self) -> str:
        """What computes, in words."""
        return self._ready.device

    @property
    def process_id(self) -> int | None:
        """The child's process id; None when it isn't running."""
        return None if self._child is None else self._child.process.pid

    @property
    def is_busy(self) -> bool:
        """Whether a call of ``score`` is under way."""
        return self._lock.locked()

    def metrics(self) -> tuple[str, ...]:
        """Return every metric an exchange is answered for, in the order of the answers."""
        return self._ready.metrics

    def traits(self) -> tuple[str, ...]:
        """Return every trait, in the order of the answers."""
        return self._ready.traits

    def identities(self) -> tuple[DetectorIdentity, ...]:
        """Return who scores and who embeds here."""
        return self._ready.identities

    def warm_up(self) -> None:
        """Nothing: the child warms up before it says that it is ready."""

    def close(self) -> None:
        """End the child. Safe to call twice, and from another thread: a call of ``score`` under way then raises."""
        self._closed = True
        child = self._child
        if child is not None and self._lock.locked():
            child.kill()
        with self._lock:
            if self._child is not None:
                self._child.end()
                self._child = None

    def score(self, exchanges: Sequence[Exchange]) -> list[ExchangeScores]:
        """Return one answer per exchange, in order; see the module for what happens to those that hang.

        Raises ScoringProcessError if the child cannot be started again.
        """
        with self._lock:
            answers: dict[int, ExchangeScores] = {}
            self._score_group(exchanges, list(range(len(exchanges))), answers)
            return [answers[index] for index in range(len(exchanges))]

    def _score_group(
        self, exchanges: Sequence[Exchange], group: Sequence[int], answers: dict[int, ExchangeScores]
    ) -> None:
        """Score the exchanges at ``group``; if the child is lost, find out over which of them."""
        if not group:
            return
        if len(group) == 1:
            answers[group[0]] = self._score_alone(exchanges[group[0]])
            return
        outcome = self._ask([exchanges[index] for index in group])
        if not isinstance(outcome, Lost):
            answers.update(zip(group, outcome, strict=True))
            return
        rest = group
        if outcome.index is not None:
            suspect = group[outcome.index]
            rest = [index for index in group if index != suspect]
            self._score_group(exchanges, [suspect], answers)
            if self._known.get(_exchange_key(exchanges[suspect])) is not None:
                self._score_group(exchanges, rest, answers)
                return
        # It was another one, and nothing tells which.
        size = GROUP if len(rest) > GROUP else 1
        for start in range(0, len(rest), size):
            self._score_group(exchanges, rest[start : start + size], answers)

    def _score_alone(self, exchange: Exchange) -> ExchangeScores:
        for _ in range(len(self._ready.stages) + 1):
            outcome = self._ask([exchange])
            if not isinstance(outcome, Lost):
                return outcome[0]
            self._blame(exchange, outcome)
        raise DetectorError("the scoring process fails on an exchange although every detector is left out")

    def _blame(self, exchange: Exchange, lost: Lost) -> None:
        """Remember that a stage must not see this exchange again; all stages if it isn't known which one failed."""
        key = _exchange_key(exchange)
        before = self._known.get(key) or {}
        stages = range(len(self._ready.stages))
        blamed = [lost.stage] if lost.stage is not None and lost.stage not in before else [*stages]
        self._known.put(key, {**dict.fromkeys(blamed, lost.reason), **before})
        for stage in blamed:
            self._hangs[stage] += 1
            if self._hangs[stage] == MOST_HANGS and stage:
                _LOG.error(
                    "a detector hangs or dies too often and is asked no more until the next start",
                    extra={"detector": self._ready.stages[stage], "times": MOST_HANGS},
                )

    def _leave_out(self, exchanges: Sequence[Exchange]) -> dict[int, Mapping[int, str]]:
        # The shared encoder is never suspended: without it there is nothing left worth a process.
        suspended = {stage: DETECTOR_TIMEOUT for stage, n in self._hangs.items() if n >= MOST_HANGS and stage}
        if not suspended and not len(self._known):
            return {}
        found = ((index, self._known.get(_exchange_key(one)) or {}) for index, one in enumerate(exchanges))
        return {index: {**suspended, **known} for index, known in found if known or suspended}

    def _ask(self, exchanges: Sequence[Exchange]) -> list[ExchangeScores] | Lost:
        """Send one request to the child, started anew if need be, and wait for the answer or its end."""
        if self._closed:
            raise ScoringProcessError("the scoring process was ended")
        child = self._child
        if child is None:
            self._ready = self._start()
            child = self._child
        if child is None:
            raise ScoringProcessError("the scoring process is not running")
        answer = child.ask(Request(exchanges, self._leave_out(exchanges)), self._limit_s)
        if isinstance(answer, Answer):
            return answer.scores
        if isinstance(answer, Refused):
            raise DetectorError(f"scoring failed as a whole: {answer.problem}")
        self._child = None
        if self._closed:
            raise ScoringProcessError("the scoring process was ended")
        stage = None if answer.stage is None else self._ready.stages[answer.stage]
        _LOG.warning(
            "the scoring process was lost and is started again",
            extra={"reason": answer.reason, "detector": stage, "where": child.where, "exchanges": len(exchanges)},
        )
        return answer

    def _start(self) -> Ready:
        child = Child(Start(self._loader, self._limit_s, self._offline), self._environment)
        answer = child.ask_ready(self._load_limit_s)
        if isinstance(answer, Ready):
            self._child = child
            return answer
        child.end()
        if isinstance(answer, Refused):
            if answer.expected:
                raise DetectorError(answer.problem)
            raise ScoringProcessError(f"the detectors could not be loaded: {answer.problem}")
        slow = f"took longer than {self._load_limit_s:.0f} s" if answer.reason == DETECTOR_TIMEOUT else "ended"
        raise ScoringProcessError(f"the scoring process {slow} while it loaded the detectors; see its messages above")


def _exchange_key(exchange: Exchange) -> bytes:
    """Return what identifies the texts of an exchange, whatever its id."""
    rest = dataclasses.replace(exchange, id="")
    return blake2b(repr(rest).encode("utf-8", "surrogatepass"), digest_size=16).digest()
