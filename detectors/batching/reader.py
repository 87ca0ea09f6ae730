"""Reads many texts with one model: every text is answered, in the caller's order, and a bad one fails alone.

Stages: look up what is cached, drop duplicates, tokenise, cut into windows, run windows in token-budgeted batches,
combine the windows of each text. A stage that fails for a whole batch is repeated for each member singly, so one
poisonous text costs its neighbours time and never their scores.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from detectors.batching.cache import LruCache, text_key
from detectors.batching.plan import WindowSize, plan_batches, split_windows

_LOG = logging.getLogger(__name__)

Tokens = TypeVar("Tokens")
Part = TypeVar("Part")
Reading = TypeVar("Reading")
Reading_co = TypeVar("Reading_co", covariant=True)
Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class TextFailure:
    """Why a text has no reading: a reason code, fit to be a score's reason."""

    reason: str


class TextModel(Protocol[Tokens, Part, Reading_co]):
    """What a model offers to the reader. Each batch method returns one result per member, in order."""

    @property
    def window(self) -> WindowSize: ...

    def tokenise(self, texts: Sequence[str]) -> Sequence[Tokens]: ...

    def refuse(self, tokens: Tokens) -> str | None:
        """Return the reason for which this text cannot be judged, or None."""

    def length(self, tokens: Tokens) -> int: ...

    def read_windows(self, windows: Sequence[tuple[Tokens, int, int]]) -> Sequence[Part]: ...

    def combine(self, tokens: Tokens, parts: Sequence[Part]) -> Reading_co: ...


def _apply_or_retry(
    stage: str, apply: Callable[[Sequence[Given]], Sequence[Made]], batch: Sequence[Given]
) -> list[Made | None]:
    """Apply ``apply`` to the batch; if that raises, to each member alone. None stands for a member that failed."""
    try:
        return list(apply(batch))
    except Exception as error:
        if len(batch) == 1:
            _LOG.warning("a text could not be read", extra={"stage": stage, "error_type": type(error).__name__})
            return [None]
        return [made for member in batch for made in _apply_or_retry(stage, apply, [member])]


class TextReader(Generic[Tokens, Part, Reading]):
    """Runs one model over texts. Calls from several threads are safe if the model's methods are."""

    def __init__(
        self, model: TextModel[Tokens, Part, Reading], *, max_batch_tokens: int, max_windows: int, cache_capacity: int
    ) -> None:
        self._model = model
        self._max_batch_tokens = max_batch_tokens
        self._max_windows = max_windows
        self._cache: LruCache[Reading | TextFailure] = LruCache(cache_capacity)

    def read(self, texts: Sequence[str]) -> list[Reading | TextFailure]:
        """Return one reading or failure per text, in order. Raises nothing for any text.

        A text of more than ``max_windows`` windows is refused as ``text_too_long`` rather than judged by its beginning.
        """
        keys = [text_key(text) for text in texts]
        known: dict[bytes, Reading | TextFailure] = {}
        fresh: dict[bytes, str] = {}
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
            # A detector error may be a passing condition, such as memory, so it is not remembered.
            if not isinstance(reading, TextFailure) or reading.reason != "detector_error":
                self._cache.put(key, reading)
        return [known[key] for key in keys]

    def _read_distinct(self, texts: Sequence[str]) -> list[Reading | TextFailure]:
        tokenised = _apply_or_retry("tokenise", self._model.tokenise, texts) if texts else []
        answers: list[Reading | TextFailure | None] = [None] * len(texts)
        windows: list[tuple[Tokens, int, int]] = []
        owners: list[int] = []
        for index, tokens in enumerate(tokenised):
            if tokens is None:
                answers[index] = TextFailure("detector_error")
                continue
            reason = self._model.refuse(tokens)
            ranges = split_windows(self._model.length(tokens), self._model.window)
            if reason is None and len(ranges) > self._max_windows:
                reason = "text_too_long"
            if reason is not None:
                answers[index] = TextFailure(reason)
                continue
            windows.extend((tokens, start, end) for start, end in ranges)
            owners.extend([index] * len(ranges))
        parts: list[list[Part | None]] = [[] for _ in texts]
        outcomes: list[Part | None] = [None] * len(windows)
        for batch in plan_batches([end - start for _, start, end in windows], self._max_batch_tokens):
            read = _apply_or_retry("read", self._model.read_windows, [windows[position] for position in batch])
            for position, outcome in zip(batch, read, strict=True):
                outcomes[position] = outcome
        for owner, outcome in zip(owners, outcomes, strict=True):
            parts[owner].append(outcome)
        return [
            answer if answer is not None else self._combine(tokens, read)
            for answer, tokens, read in zip(answers, tokenised, parts, strict=True)
        ]

    def _combine(self, tokens: Tokens | None, parts: Sequence[Part | None]) -> Reading | TextFailure:
        whole = [part for part in parts if part is not None]
        if tokens is None or len(whole) < len(parts) or not whole:
            return TextFailure("detector_error")
        combined = _apply_or_retry("combine", lambda one: [self._model.combine(one[0], whole)], [tokens])[0]
        return TextFailure("detector_error") if combined is None else combined
