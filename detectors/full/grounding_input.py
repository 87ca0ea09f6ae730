"""Lays out contexts, question and answer as the rows a token-level groundedness model was trained on.

A row is a fixed beginning, a window of the contexts, a fixed middle and a stretch of the answer. If everything fits it
is the one row that the model's own library would make. Otherwise the window slides over the contexts and the answer is
repeated in each row; an answer that takes more than half of a row is slid over as well. Nothing is cut away.

Layouts, as read in LettuceDetect's code and model cards (MIT and Apache-2.0): version 1 was trained on RAGTruth's
prompts, which number the passages and quote the question; version 2 puts the request first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from detectors.batching.plan import WindowSize, split_windows
from detectors.full.description import GroundingInput
from detectors.full.loading import LoadedModel, Row, SpecialTokens
from detectors.full.rows import MarkedRow
from detectors.text.encoder import TokenisedText

# Neighbouring windows share an eighth of their tokens, so no sentence of a context is seen only in halves.
OVERLAP_SHARE: Final = 8
# A question longer than this share of a row is slid over together with the contexts, as their first passage.
QUESTION_SHARE: Final = 4
# Fewer context tokens than this in a row, and the model would judge by scraps.
LEAST_CONTEXT_TOKENS: Final = 16

_ANSWER_BY_PASSAGES: Final = (
    "\nBriefly answer the following question:\n{question}\nBear in mind that your response should be strictly based on "
    "the following {passages} passages:\n",
    "\nIn case the passages do not contain the necessary information to answer the question, please reply with: "
    '"Unable to answer based on given passages."\noutput:\n',
)
_SUMMARISE: Final = ("\nSummarize the following text:\n", "\noutput:\n")
_REQUEST_FIRST: Final = "User request: {question}\n\n"


@dataclass(frozen=True, slots=True)
class GroundingRow:
    """One row, its stretch of the answer marked, which is the answer's tokens ``start`` up to ``end``."""

    marked: MarkedRow
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class GroundingTexts:
    """The texts of one exchange as the model gets them: fixed text before and after the contexts, and the answer.

    ``question`` stands between contexts and answer in the triple layout and is None in the others.
    """

    lead: str
    contexts: str
    tail: str
    question: str | None
    answer: str


def compose_texts(contexts: Sequence[str], question: str | None, answer: str, form: GroundingInput) -> GroundingTexts:
    """Put the texts of an exchange in the words of the layout; blank contexts are left out."""
    passages = [context for context in contexts if context.strip()]
    if form == "passages":
        numbered = "\n".join(f"passage {number}: {passage}" for number, passage in enumerate(passages, start=1))
        if question is None:
            return GroundingTexts(_SUMMARISE[0], numbered, _SUMMARISE[1], None, answer)
        # Not str.format: the question may hold braces.
        lead = _ANSWER_BY_PASSAGES[0].replace("{passages}", str(len(passages))).replace("{question}", question)
        return GroundingTexts(lead, numbered, _ANSWER_BY_PASSAGES[1], None, answer)
    joined = "\n\n".join(passages)
    if form == "request":
        lead = "" if question is None else _REQUEST_FIRST.replace("{question}", question)
        return GroundingTexts(lead, joined, "", None, answer)
    return GroundingTexts("", joined, "", question or "", answer)


@dataclass(frozen=True, slots=True)
class GroundingTokens:
    """The tokens of one exchange, by where they stand in a row."""

    lead: tuple[int, ...]
    contexts: tuple[int, ...]
    tail: tuple[int, ...]
    answer: TokenisedText


def tokenise_texts(model: LoadedModel, texts: GroundingTexts) -> GroundingTokens:
    """Tokenise an exchange; special tokens go into ``lead`` and ``tail``.

    What comes before the answer is tokenised in one piece and then parted, since a tokenizer may join characters across
    the place where two texts meet.
    """
    special = model.special
    first, answer = model.tokenise([texts.lead + texts.contexts + texts.tail, texts.answer])
    begin, end = len(texts.lead), len(texts.lead) + len(texts.contexts)
    opening = sum(stop <= begin for _, stop in first.offsets)
    closing = sum(start >= end for start, _ in first.offsets)
    middle: tuple[int, ...] = special.between
    if texts.question is not None:
        middle = (*special.between, *model.tokenise([texts.question])[0].ids, *special.between)
    inner = len(first.ids) - closing
    return GroundingTokens(
        lead=(*special.before, *first.ids[:opening]),
        contexts=first.ids[opening:inner],
        tail=(*first.ids[inner:], *middle),
        answer=answer,
    )


def lay_out_rows(
    tokens: GroundingTokens, special: SpecialTokens, row_tokens: int, most_rows: int
) -> list[GroundingRow] | None:
    """Return the rows that together show every answer token every context token.

    ``row_tokens`` is the longest row, special tokens included. None if a row has no room for both, or if it would take
    more than ``most_rows``.
    """
    room = row_tokens - len(tokens.lead) - len(tokens.tail) - len(special.after)
    longest_answer = min(len(tokens.answer.ids), max(room // 2, room - len(tokens.contexts)))
    window = room - longest_answer
    if longest_answer < 1 or window < min(LEAST_CONTEXT_TOKENS, len(tokens.contexts)):
        return None
    stretches = split_windows(len(tokens.answer.ids), _window(longest_answer))
    windows = split_windows(len(tokens.contexts), _window(max(window, 1)))
    if len(stretches) * len(windows) > most_rows:
        return None
    rows = []
    for start, end in stretches:
        for first, last in windows:
            head = (*tokens.lead, *tokens.contexts[first:last], *tokens.tail)
            row = Row((*head, *tokens.answer.ids[start:end], *special.after), len(head))
            rows.append(GroundingRow(MarkedRow(row, len(head), end - start), start, end))
    return rows


def _window(tokens: int) -> WindowSize:
    return WindowSize(tokens, tokens // OVERLAP_SHARE)
