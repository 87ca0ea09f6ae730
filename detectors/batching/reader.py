"""Reads many inputs with one model: every input is answered, in the caller's order, and a bad one fails alone.

Stages: look up what is cached, drop duplicates, tokenise, cut into windows, run windows in token-budgeted batches,
combine the windows of each input. Tokenising runs in threads of its own, at least a wave of batches ahead of the model;
batches run in lanes. A stage that fails for a whole batch is repeated with ever smaller parts of it, so one poisonous
input costs its neighbours time and never their scores. Where memory runs out, batches become smaller.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from detectors.batching.cache import LruCache
from detectors.batching.limits import ReaderLimits
from detectors.batching.memory import TokenBudget, is_out_of_memory
from detectors.batching.plan import WindowSize, padded_length, plan_batches, plan_waves, split_windows
from detectors.contract import TextFailure
from detectors.model import DETECTOR_ERROR, TEXT_TOO_LONG

_LOG = logging.getLogger(__name__)

Wanted = TypeVar("Wanted")
Wanted_contra = TypeVar("Wanted_contra", contravariant=True)
Tokens = TypeVar("Tokens")
Part = TypeVar("Part")
Reading = TypeVar("Reading")
Given = TypeVar("Given")
Made = TypeVar("Made")

_TOKENISER_THREADS = 2
# Waves are measured in what ``TextModel.size`` returns, roughly tokens: the first in batches, the largest in batches.
_FIRST_WAVE, _LARGEST_WAVE = 4, 128


class TextModel(Protocol[Wanted_contra, Tokens, Part, Reading]):
    """What a model offers to the reader. Each batch method returns one result per member, in order.

    ``tokenise``, ``read_windows`` and ``combine`` are called from several threads at once.
    """

    @property
    def window(self) -> WindowSize: ...

    @property
    def length_step(self) -> int:
        """Padded lengths are multiples of this."""

    def key(self, wanted: Wanted_contra) -> bytes:
        """Return what identifies this input, and what is wanted of it, among all others."""

    def size(self, wanted: Wanted_contra) -> int:
        """Return about how many tokens the input has, without tokenising it."""

    def tokenise(self, wanted: Sequence[Wanted_contra]) -> Sequence[Tokens]: ...

    def refuse(self, tokens: Tokens) -> str | None:
        """Return the reason for which this input cannot be judged, or None."""

    def length(self, tokens: Tokens) -> int: ...

    def read_windows(self, windows: Sequence[tuple[Tokens, int, int]]) -> Sequence[Part]:
        """Run one batch of windows of similar length; may raise ``MemoryError`` or ``torch.OutOfMemoryError``."""

    def combine(self, tokens: Tokens, parts: Sequence[Part]) -> Reading: ...

    def weigh(self, reading: Reading) -> int:
        """Return about how many bytes a reading takes in the cache."""


@dataclass(frozen=True, slots=True)
class _Window(Generic[Tokens]):
    owner: int
    tokens: Tokens
    start: int
    end: int


class TextReader(Generic[Wanted, Tokens, Part, Reading]):
    """Runs one model over inputs, texts or more. Calls from several threads are safe."""

    def __init__(
        self,
        model: TextModel[Wanted, Tokens, Part, Reading],
        limits: ReaderLimits,
        *,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """``alive`` is called after every batch, from whichever thread ran it."""
        self._model = model
        self._limits = limits
        self._alive = alive
        self._budget = TokenBudget(limits.batch_tokens)
        self._cache: LruCache[Reading | TextFailure] = LruCache(limits.cache_bytes)
        # Threads start with the first work that is given to them, not here.
        self._tokenisers = ThreadPoolExecutor(_TOKENISER_THREADS, "tokeniser")
        self._lanes = ThreadPoolExecutor(limits.lanes, "lane", initializer=limits.prepare_lane)

    @property
    def batch_tokens(self) -> int:
        """Padded tokens a batch may have now; less than the limit after memory ran out."""
        return self._budget.tokens

    def forget(self) -> None:
        """Drop what is remembered of earlier inputs."""
        self._cache.clear()

    def read(self, texts: Sequence[Wanted]) -> list[Reading | TextFailure]:
        """Return one reading or failure per input, in order. Raises nothing for any input.

        An input of more windows than allowed is refused as ``text_too_long`` rather than judged by its beginning.
        """
        keys = [self._model.key(text) for text in texts]
        known: dict[bytes, Reading | TextFailure] = {}
        fresh: dict[bytes, Wanted] = {}
        for key, text in zip(keys, texts, strict=True):
            if key in known or key in fresh:
                continue
            cached = self._cache.get(key)
            if cached is None:
                fresh[key] = text
            else:
                known[key] = cached
        for key, reading in zip(fresh, self._read_distinct(list(fresh.values())), strict=True):
            known[key] = reading
            if not isinstance(reading, TextFailure):
                self._cache.put(key, reading, self._model.weigh(reading))
            elif reading.reason != DETECTOR_ERROR:
                # A detector error may be a passing condition, such as memory, so it is not remembered.
                self._cache.put(key, reading, len(key))
        return [known[key] for key in keys]

    def _read_distinct(self, texts: Sequence[Wanted]) -> list[Reading | TextFailure]:
        sizes = [self._model.size(text) for text in texts]
        batch = self._limits.batch_tokens
        waves = plan_waves(sizes, batch * _FIRST_WAVE, batch * _LARGEST_WAVE)
        tokenising: list[Future[list[Tokens | None]]] = []
        running: list[_RunningWave[Tokens, Part, Reading]] = []
        answers: list[Reading | TextFailure] = []
        for number in range(len(waves)):
            for ahead in waves[len(tokenising) : number + 2]:
                given = [texts[index] for index in ahead]
                tokenising.append(self._tokenisers.submit(_apply_or_halve, "tokenise", self._model.tokenise, given))
            running.append(self._start_wave(tokenising[number].result()))
            if number:
                answers += self._finish_wave(running[number - 1])
        if running:
            answers += self._finish_wave(running[-1])
        return answers

    def _start_wave(self, tokenised: list[Tokens | None]) -> _RunningWave[Tokens, Part, Reading]:
        """Plan the windows of these inputs and give them to the lanes."""
        wave: _RunningWave[Tokens, Part, Reading] = _RunningWave(tokenised, [None] * len(tokenised), [], [])
        windows: list[_Window[Tokens]] = []
        for owner, tokens in enumerate(tokenised):
            planned = self._plan(owner, tokens)
            if isinstance(planned, TextFailure):
                wave.answers[owner] = planned
            else:
                windows += planned
        lengths = [one.end - one.start for one in windows]
        for batch in plan_batches(lengths, self._budget.tokens, self._model.length_step):
            chosen = [windows[index] for index in batch]
            wave.batches.append(chosen)
            wave.parts.append(self._lanes.submit(self._read_batch, chosen))
        return wave

    def _plan(self, owner: int, tokens: Tokens | None) -> list[_Window[Tokens]] | TextFailure:
        if tokens is None:
            return TextFailure(DETECTOR_ERROR)
        try:
            reason = self._model.refuse(tokens)
            ranges = split_windows(self._model.length(tokens), self._model.window) if reason is None else []
        except Exception as error:
            _log_failure("plan", error)
            return TextFailure(DETECTOR_ERROR)
        if reason is not None:
            return TextFailure(reason)
        if len(ranges) > self._limits.windows:
            return TextFailure(TEXT_TOO_LONG)
        return [_Window(owner, tokens, start, end) for start, end in ranges]

    def _finish_wave(self, wave: _RunningWave[Tokens, Part, Reading]) -> list[Reading | TextFailure]:
        """Wait for the wave's batches and combine the windows of each input, in order of their position."""
        found: list[list[tuple[int, Part | None]]] = [[] for _ in wave.tokenised]
        for windows, parts in zip(wave.batches, wave.parts, strict=True):
            for window, part in zip(windows, parts.result(), strict=True):
                found[window.owner].append((window.start, part))
        return [
            answer if answer is not None else self._combine(tokens, sorted(parts, key=lambda pair: pair[0]))
            for answer, tokens, parts in zip(wave.answers, wave.tokenised, found, strict=True)
        ]

    def _read_batch(self, windows: Sequence[_Window[Tokens]]) -> list[Part | None]:
        """Run one batch in this lane; None stands for a window that could not be read."""
        before = self._budget.tokens
        parts, one_did_not_fit = self._read_or_halve(windows)
        if one_did_not_fit:
            self._budget.restore(before)
        return parts

    def _read_or_halve(self, windows: Sequence[_Window[Tokens]]) -> tuple[list[Part | None], bool]:
        tokens = len(windows) * padded_length(max(one.end - one.start for one in windows), self._model.length_step)
        if len(windows) == 1 or tokens <= self._budget.tokens:
            try:
                parts = self._model.read_windows([(one.tokens, one.start, one.end) for one in windows])
                if len(parts) != len(windows):
                    raise ValueError(f"{len(parts)} results for {len(windows)} windows")
            except Exception as error:
                self._alive()
                full = is_out_of_memory(error)
                if len(windows) == 1:
                    _log_failure("read", error)
                    return [None], full
                if full:
                    self._budget.shrink(tokens)
            else:
                self._alive()
                self._budget.grow()
                return list(parts), False
        middle = len(windows) // 2
        left, left_full = self._read_or_halve(windows[:middle])
        right, right_full = self._read_or_halve(windows[middle:])
        return left + right, left_full or right_full

    def _combine(self, tokens: Tokens | None, parts: Sequence[tuple[int, Part | None]]) -> Reading | TextFailure:
        whole = [part for _, part in parts if part is not None]
        if tokens is None or len(whole) < len(parts) or not whole:
            return TextFailure(DETECTOR_ERROR)
        try:
            return self._model.combine(tokens, whole)
        except Exception as error:
            _log_failure("combine", error)
            return TextFailure(DETECTOR_ERROR)


@dataclass(frozen=True, slots=True)
class _RunningWave(Generic[Tokens, Part, Reading]):
    """Inputs whose windows are in the lanes; ``answers`` holds what is known without reading, else None."""

    tokenised: list[Tokens | None]
    answers: list[Reading | TextFailure | None]
    batches: list[list[_Window[Tokens]]]
    parts: list[Future[list[Part | None]]]


def _apply_or_halve(
    stage: str, apply: Callable[[Sequence[Given]], Sequence[Made]], batch: Sequence[Given]
) -> list[Made | None]:
    """Apply ``apply`` to the batch; if that raises, to each half. None stands for a member that failed alone."""
    try:
        made = list(apply(batch))
        if len(made) != len(batch):
            raise ValueError(f"{len(made)} results for {len(batch)} inputs")
        return [*made]
    except Exception as error:
        if len(batch) == 1:
            _log_failure(stage, error)
            return [None]
        middle = len(batch) // 2
        return _apply_or_halve(stage, apply, batch[:middle]) + _apply_or_halve(stage, apply, batch[middle:])


def _log_failure(stage: str, error: Exception) -> None:
    # The error's text may quote what it choked on.
    _LOG.warning("a text could not be read", extra={"stage": stage, "error_type": type(error).__name__})
