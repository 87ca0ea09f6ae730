"""Cuts a text into sentences and keeps where each one stands.

Made for answers of chat models: list bullets and line breaks end a sentence, abbreviations, initials, decimals and
version numbers don't. It is a heuristic; a wrong cut makes a span shorter or longer, never an offset wrong. Time is
linear in the text, whatever it holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from detectors.text.vocabulary import ABBREVIATIONS

# Matches a whole run at once and never fails inside one, so a megabyte of full stops takes linear time.
_MARKS: Final = re.compile(r"[.!?\u2026]+[\"'\u201d\u2019)\]]*|\n+")
_SENTENCE_FOLLOWS: Final = re.compile(r"\s+[\"'\u201c\u2018(\[]*[A-Z0-9\u00c0-\u00de*#\u2022-]|\s*\Z")
_LAST_WORD: Final = re.compile(r"[\w.]+\Z")
_LONGEST_ABBREVIATION: Final = 12
_BULLET: Final = re.compile(r"\s*(?:[-*\u2022\u2013]\s+|\(?\d{1,3}[.)]\s+|#{1,6}\s+)?")
_NUMBERING: Final = re.compile(r"\s*\(?\d{1,3}")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence without surrounding space or bullet: ``text == whole[start:end]``."""

    text: str
    start: int
    end: int


def _is_abbreviated(text: str, stop: int) -> bool:
    word = _LAST_WORD.search(text[max(0, stop - _LONGEST_ABBREVIATION) : stop])
    if word is None:
        return False
    bare = word[0].lower().rstrip(".")
    return bare in ABBREVIATIONS or (len(bare) == 1 and bare.isalpha() and bare != "i")


def _ends_sentence(text: str, start: int, mark: re.Match[str]) -> bool:
    if mark[0][0] == "\n":
        return True
    if _SENTENCE_FOLLOWS.match(text, mark.end()) is None:
        return False
    if mark[0] != "." or mark.end() == len(text):
        return True
    # In "1. Open the lid" the number is a bullet and not a sentence.
    return not _is_abbreviated(text, mark.start()) and _NUMBERING.fullmatch(text, start, mark.start()) is None


def split_sentences(text: str) -> list[Sentence]:
    """Return the sentences of ``text`` in order; they don't overlap, and none is empty."""
    sentences: list[Sentence] = []
    start = 0
    for mark in _MARKS.finditer(text):
        if _ends_sentence(text, start, mark):
            _append(sentences, text, start, mark.end())
            start = mark.end()
    _append(sentences, text, start, len(text))
    return sentences


def _append(sentences: list[Sentence], text: str, start: int, end: int) -> None:
    bullet = _BULLET.match(text, start, end)
    begin = start if bullet is None else bullet.end()
    body = text[begin:end].strip()
    if body:
        offset = text.index(body, begin, end)
        sentences.append(Sentence(body, offset, offset + len(body)))
