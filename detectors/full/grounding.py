"""Which parts of a response its contexts do not support, by a token classifier (LettuceDetect class).

The model reads contexts, question and answer in one pass and gives every token of the answer a probability of being
unsupported (Kovács and Recski 2025, arXiv 2502.17125); spans come for free. Long contexts are read in windows and a
token takes the *least* of its probabilities: what one window supports is supported. (The model's own library takes the
greatest, so a fact that one passage holds is called invented as soon as there are more passages than fit.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from detectors.batching.limits import ReaderLimits
from detectors.contract import TextFailure
from detectors.full.description import GroundingDescription, reads_script
from detectors.full.grounding_input import (
    QUESTION_SHARE,
    GroundingRow,
    GroundingTokens,
    compose_texts,
    lay_out_rows,
    tokenise_texts,
)
from detectors.full.loading import Alive, LoadedModel, no_sign
from detectors.full.rows import MarkedRow, RowReader
from detectors.model import (
    DETECTOR_ERROR,
    NO_CONTEXT,
    NO_RESPONSE_TEXT,
    TEXT_TOO_LONG,
    UNSUPPORTED_TEXT,
    Exchange,
    Span,
)

SPAN_THRESHOLD: Final = 0.5
DECIMALS: Final = 6
# 128 rows of 4,096 tokens are half a million tokens; on a processor that is minutes.
MAX_ROWS: Final = 128
# An answer of 200 tokens and what Python adds.
ROW_BYTES: Final = 1000
# Beyond these no layout has few enough rows, and finding out would take seconds of tokenising.
MAX_SOURCE_CHARACTERS: Final = 2_000_000
MAX_RESPONSE_CHARACTERS: Final = 200_000
LONGEST_TOKEN_CHARACTERS: Final = 16

Probabilities = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class GroundingReading:
    """How far a response is unsupported, in [0, 1]: its worst token's value. ``spans`` are the stretches at fault."""

    value: float
    spans: tuple[Span, ...]


class GroundingReader:
    """Runs the model over exchanges, the rows of all of them together. Use from one thread at a time."""

    def __init__(
        self, model: LoadedModel, description: GroundingDescription, limits: ReaderLimits, *, alive: Alive = no_sign
    ) -> None:
        self._model = model
        self._description = description
        self._row_tokens = min(description.window_tokens, model.max_tokens)
        self._rows: RowReader[Probabilities] = RowReader(
            model, self._read_logits, limits, part_bytes=ROW_BYTES, alive=alive
        )

    def read(self, exchanges: Sequence[Exchange]) -> list[GroundingReading | TextFailure]:
        """Return one reading or failure per exchange, in order; an exchange that cannot be read fails alone."""
        laid_out = [self._lay_out(exchange) for exchange in exchanges]
        rows = [row.marked for one in laid_out if not isinstance(one, TextFailure) for row in one.rows]
        outcomes = iter(self._rows.read(rows))
        readings: list[GroundingReading | TextFailure] = []
        for exchange, one in zip(exchanges, laid_out, strict=True):
            if isinstance(one, TextFailure):
                readings.append(one)
            else:
                readings.append(_combine(exchange.response or "", one, [next(outcomes) for _ in one.rows]))
        return readings

    def _lay_out(self, exchange: Exchange) -> _LaidOut | TextFailure:
        reason = self._refuse(exchange)
        if reason is not None:
            return TextFailure(reason)
        try:
            tokens = self._tokenise(exchange.contexts, exchange.prompt, exchange.response or "")
            rows = lay_out_rows(tokens, self._model.special, self._row_tokens, MAX_ROWS)
        except Exception:
            return TextFailure(DETECTOR_ERROR)
        if not tokens.answer.ids or not tokens.contexts:
            return TextFailure(UNSUPPORTED_TEXT)
        if rows is None:
            return TextFailure(TEXT_TOO_LONG)
        return _LaidOut(tokens, tuple(rows))

    def _refuse(self, exchange: Exchange) -> str | None:
        response, contexts = exchange.response, [context for context in exchange.contexts if context.strip()]
        if response is None or not response.strip():
            return NO_RESPONSE_TEXT
        if not contexts:
            return NO_CONTEXT
        sources = len(exchange.prompt or "") + sum(map(len, contexts))
        if len(response) > MAX_RESPONSE_CHARACTERS or sources > MAX_SOURCE_CHARACTERS:
            return TEXT_TOO_LONG
        scripts = self._description.scripts
        if not reads_script(response, scripts) or not any(reads_script(context, scripts) for context in contexts):
            return UNSUPPORTED_TEXT
        return None

    def _tokenise(self, contexts: Sequence[str], prompt: str | None, response: str) -> GroundingTokens:
        question = prompt if prompt is not None and prompt.strip() else None
        if question is not None:
            most = self._row_tokens // QUESTION_SHARE
            if len(question) > most * LONGEST_TOKEN_CHARACTERS or len(self._model.tokenise([question])[0].ids) > most:
                # A pasted document is asked about, and it is as good a source as any other.
                contexts, question = (question, *contexts), None
        return tokenise_texts(self._model, compose_texts(contexts, question, response, self._description.input))

    def _read_logits(self, rows: Sequence[MarkedRow], logits: Tensor) -> list[Probabilities]:
        """Return the probability of being unsupported for each row's stretch of the answer."""
        unsupported = torch.softmax(logits, dim=-1)[:, :, self._description.unsupported_label].numpy()
        return [unsupported[place, row.at : row.at + row.count].copy() for place, row in enumerate(rows)]


@dataclass(frozen=True, slots=True)
class _LaidOut:
    tokens: GroundingTokens
    rows: tuple[GroundingRow, ...]


def _combine(
    response: str, laid_out: _LaidOut, parts: Sequence[Probabilities | None]
) -> GroundingReading | TextFailure:
    least = np.ones(len(laid_out.tokens.answer.ids), dtype=np.float32)
    for row, part in zip(laid_out.rows, parts, strict=True):
        if part is None:
            return TextFailure(DETECTOR_ERROR)
        stretch = least[row.start : row.end]
        np.minimum(stretch, part, out=stretch)
    spans = mark_spans(response, laid_out.tokens.answer.offsets, least)
    return GroundingReading(round(float(least.max()), DECIMALS), spans)


def mark_spans(response: str, offsets: Sequence[tuple[int, int]], values: Probabilities) -> tuple[Span, ...]:
    """Return the character ranges over neighbouring tokens of at least ``SPAN_THRESHOLD``, each with its worst value.

    Space at either end is left out, and so is a range of nothing else. In order, without overlap.
    """
    ranges: list[tuple[int, int, float]] = []
    joined = False
    for (start, end), value in zip(offsets, values.tolist(), strict=True):
        if value < SPAN_THRESHOLD:
            joined = False
        elif joined or (ranges and start < ranges[-1][1]):
            # The bytes of one character are several tokens over the same place.
            first, last, worst = ranges[-1]
            ranges[-1] = (first, max(last, end), max(worst, value))
            joined = True
        else:
            ranges.append((start, end, value))
            joined = True
    spans = []
    for start, end, value in ranges:
        text = response[start:end]
        first = start + len(text) - len(text.lstrip())
        last = start + len(text.rstrip())
        if first < last:
            spans.append(Span(first, last, round(value, DECIMALS)))
    return tuple(spans)
