"""Whether each sentence of a response follows from its contexts, by a claim checker (MiniCheck and FactCG class).

Contexts are cut at sentences into chunks, and the model says for each pair of chunk and claim whether the chunk
supports the claim (Tang et al. 2024, arXiv 2404.10774; Lei et al. 2025, arXiv 2501.17144). A claim is as well supported
as by its best chunk, and a response as badly as its worst claim. This costs many times what a token classifier does, so
it is asked for a few exchanges only (``detectors.full.escalation``); the pairs of all of them are read together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from detectors.batching.limits import ReaderLimits
from detectors.batching.plan import WindowSize, split_windows
from detectors.contract import TextFailure
from detectors.full.description import ClaimDescription, reads_script
from detectors.full.loading import Alive, LoadedModel, Row, no_sign
from detectors.full.rows import MarkedRow, RowReader
from detectors.model import DETECTOR_ERROR, NO_CHECKABLE_CLAIM, NO_CONTEXT, TEXT_TOO_LONG, UNSUPPORTED_TEXT
from detectors.text.script import has_foreign_letters
from detectors.text.sentences import Sentence, split_sentences
from detectors.text.talk import claimless_ranges
from detectors.text.vocabulary import TALK_WORDS
from detectors.text.words import content_words

# 512 pairs of 512 tokens are a quarter of a million tokens for one exchange.
MAX_PAIRS: Final = 512
# A claim may take a quarter of a row; a longer sentence is checked in pieces.
CLAIM_SHARE: Final = 4
DECIMALS: Final = 6
# A number and what Python adds.
PAIR_BYTES: Final = 64

_INSTRUCTION: Final = (
    '\n\nChoose your answer: based on the paragraph above can we conclude that "{claim}"?'
    "\n\nOPTIONS:\n- Yes\n- No\nI think the answer is "
)


@dataclass(frozen=True, slots=True)
class ClaimReading:
    """How badly the claims are supported: the worst and the mean of one minus each claim's support, both in [0, 1].

    ``unsupported_share`` is the share of claims more likely unsupported than not.
    """

    worst: float
    mean: float
    unsupported_share: float


@dataclass(frozen=True, slots=True)
class ClaimQuestion:
    """A response whose sentences are to be checked against texts."""

    texts: tuple[str, ...]
    response: str


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The rows of one question: ``rows[i]`` is about claim ``claims[i]``."""

    rows: tuple[Row, ...]
    claims: tuple[int, ...]


class ClaimChecker:
    """Checks the claims of many responses at once. Use from one thread at a time."""

    def __init__(
        self, model: LoadedModel, description: ClaimDescription, limits: ReaderLimits, *, alive: Alive = no_sign
    ) -> None:
        self._model = model
        self._description = description
        self._row_tokens = min(description.window_tokens, model.max_tokens)
        self._rows: RowReader[float] = RowReader(model, self._read_logits, limits, part_bytes=PAIR_BYTES, alive=alive)
        self.digest = model.digest

    def check(self, questions: Sequence[ClaimQuestion]) -> list[ClaimReading | TextFailure]:
        """Return one reading or failure per question, in order; one that cannot be read fails alone.

        Equal pairs, within a response or between responses, are read once.
        """
        laid_out = [self._lay_out(question) for question in questions]
        rows = [MarkedRow(row) for one in laid_out if isinstance(one, _Pairs) for row in one.rows]
        supports = iter(self._rows.read(rows))
        return [
            one if isinstance(one, TextFailure) else _combine(one.claims, [next(supports) for _ in one.rows])
            for one in laid_out
        ]

    def _lay_out(self, question: ClaimQuestion) -> _Pairs | TextFailure:
        texts = [text for text in question.texts if text.strip()]
        if not texts:
            return TextFailure(NO_CONTEXT)
        scripts = self._description.scripts
        if not reads_script(question.response, scripts) or not any(reads_script(text, scripts) for text in texts):
            return TextFailure(UNSUPPORTED_TEXT)
        sentences = find_claims(question.response)
        if not sentences:
            return TextFailure(NO_CHECKABLE_CLAIM)
        try:
            return self._pair_up(texts, sentences)
        except Exception:
            return TextFailure(DETECTOR_ERROR)

    def _pair_up(self, texts: Sequence[str], sentences: Sequence[str]) -> _Pairs | TextFailure:
        limit = self._row_tokens // CLAIM_SHARE
        claims = [piece for sentence in sentences for piece in self._cut(sentence, limit)]
        frames = self._frames(claims)
        room = self._row_tokens - max(len(frame.head) + len(frame.tail) for frame in frames)
        if room < 1:
            return TextFailure(TEXT_TOO_LONG)
        chunks = [chunk for text in texts for chunk in self._chunk(text, min(self._description.chunk_tokens, room))]
        if not chunks:
            return TextFailure(UNSUPPORTED_TEXT)
        if len(chunks) * len(claims) > MAX_PAIRS:
            return TextFailure(TEXT_TOO_LONG)
        rows = tuple(frame.around(chunk) for frame in frames for chunk in chunks)
        return _Pairs(rows, tuple(number for number in range(len(frames)) for _ in chunks))

    def _cut(self, text: str, most_tokens: int) -> list[str]:
        """Return the text, or overlapping pieces of it if it has more than ``most_tokens`` tokens."""
        (tokens,) = self._model.tokenise([text])
        return [
            text[tokens.offsets[start][0] : tokens.offsets[end - 1][1]]
            for start, end in split_windows(len(tokens.ids), _window(most_tokens))
        ]

    def _frames(self, claims: Sequence[str]) -> list[_Frame]:
        special, form = self._model.special, self._description.input
        # Not str.format: a claim may hold braces.
        asked = [_INSTRUCTION.replace("{claim}", claim) for claim in claims] if form == "instruction" else claims
        frames = []
        for tokens in self._model.tokenise(asked):
            between: tuple[int, ...] = ()
            if form == "separator":
                between = special.after
            elif form == "pair":
                between = special.between
            frames.append(
                _Frame(
                    special.before, (*between, *tokens.ids, *special.after), len(between) if form == "pair" else None
                )
            )
        return frames

    def _chunk(self, text: str, most_tokens: int) -> list[tuple[int, ...]]:
        """Return the tokens of the text's chunks: whole sentences, together as many as fit.

        A sentence that does not fit by itself is cut into overlapping windows.
        """
        sentences = split_sentences(text)
        # With the space before it, so that the counts of a chunk's sentences add up to the chunk's.
        begins = [0, *(sentence.end for sentence in sentences[:-1])]
        parts = [text[begin : sentence.end] for begin, sentence in zip(begins, sentences, strict=False)]
        bounds: list[tuple[int, int]] = []
        filled = most_tokens
        for sentence, tokens in zip(sentences, self._model.tokenise(parts), strict=True):
            if filled + len(tokens.ids) > most_tokens:
                bounds.append((sentence.start, sentence.end))
                filled = len(tokens.ids)
            else:
                bounds[-1] = (bounds[-1][0], sentence.end)
                filled += len(tokens.ids)
        chunks = self._model.tokenise([text[start:end] for start, end in bounds])
        return [
            chunk.ids[start:end]
            for chunk in chunks
            for start, end in split_windows(len(chunk.ids), _window(most_tokens))
        ]

    def _read_logits(self, rows: Sequence[MarkedRow], logits: Tensor) -> list[float]:
        """Return the support of each row's claim by its chunk."""
        supported = torch.softmax(logits, dim=-1)[:, self._description.supported_label]
        return [float(value) for value in supported]


@dataclass(frozen=True, slots=True)
class _Frame:
    """What stands around a chunk for one claim; ``second_at`` counts from the end of the chunk, None without types."""

    head: tuple[int, ...]
    tail: tuple[int, ...]
    second_at: int | None

    def around(self, chunk: Sequence[int]) -> Row:
        second_from = None if self.second_at is None else len(self.head) + len(chunk) + self.second_at
        return Row((*self.head, *chunk, *self.tail), second_from)


def find_claims(response: str) -> list[str]:
    """Return the sentences of a response that claim something, without greetings, offers and "I could not find it"."""
    return [sentence.text for sentence in split_sentences(response) if _claims_something(response, sentence)]


def _claims_something(response: str, sentence: Sentence) -> bool:
    if has_foreign_letters(sentence.text):
        # The lists of small talk are English; what they cannot know is taken at its word.
        return any(character.isalnum() for character in sentence.text)
    silent = claimless_ranges(response, sentence.start, sentence.end)
    return any(
        (word.is_number or response[word.start : word.end].lower() not in TALK_WORDS)
        and not any(start <= word.start < end for start, end in silent)
        for word in content_words(response, sentence.start, sentence.end)
    )


def _combine(claims: Iterable[int], supports: Sequence[float | None]) -> ClaimReading | TextFailure:
    best: dict[int, float] = {}
    for claim, support in zip(claims, supports, strict=True):
        if support is None:
            return TextFailure(DETECTOR_ERROR)
        best[claim] = max(best.get(claim, 0.0), support)
    doubts = [1.0 - support for support in best.values()]
    unsupported = sum(doubt > 0.5 for doubt in doubts)
    return ClaimReading(
        worst=round(max(doubts), DECIMALS),
        mean=round(sum(doubts) / len(doubts), DECIMALS),
        unsupported_share=round(unsupported / len(doubts), DECIMALS),
    )


def _window(tokens: int) -> WindowSize:
    return WindowSize(tokens, tokens // 8)
