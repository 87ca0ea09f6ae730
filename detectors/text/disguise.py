"""Reads words that were spelled so that a filter misses them: ``st*pid``, ``y0u``, ``i d i o t``, ``loooser``.

People bend the spelling of what they would be blocked for, and the encoder's word pieces don't recognise it any more. A
text with such words gets a second reading, in which they are spelled plainly, and counts as what the worse of the two
is taken for. Only words worth disguising are looked for (``disguised_words.txt``: abuse, violence, and groups of
people), so ``mp3``, ``log4j`` and ``sooo goood`` stay what they are and cost nothing. The list decides what is read,
never what is toxic: that is for the head.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

WORDS_FILE: Final = Path(__file__).resolve().parent / "disguised_words.txt"

# A one and its like may stand for an i or an l.
_LEET: Final = (str.maketrans("013457@$!|", "oieastasii"), str.maketrans("013457@$!|", "oleastasll"))
_SIGN: Final = re.escape("013457@$!|*#%+")
# All patterns have bounded lengths, so that no text can make them slow.
_BENT: Final = re.compile(
    rf"(?<![\w/.\-{_SIGN}])[A-Za-z]{{0,20}}[{_SIGN}]{{1,8}}[A-Za-z{_SIGN}]{{0,20}}(?![\w/\-{_SIGN}])"
)
_APART: Final = re.compile(r"(?<![\w'])[A-Za-z@$!013457*](?:[ .\-_*][A-Za-z@$!013457*]){2,40}(?![\w'])")
_ROW: Final = re.compile(r"([A-Za-z])\1\1")
_WORD: Final = re.compile(r"(?<!\w)[A-Za-z]{4,40}(?!\w)")
_RUN: Final = re.compile(r"([a-z])\1{2,}")
_JOINED: Final = re.compile(r"(?<![\w/@.\-'])#?[A-Za-z]{7,40}(?![\w/@\-])")
_STAR: Final = "*#%+"
_STARS: Final = re.compile(r"[*#%+]+")
# By how many letters a row of stars may be too short or too long.
_STARS_OFF: Final = 2
_STARS_AT_END: Final = re.compile(r"[*#%]{2,}$")
_FEWEST_LETTERS: Final = 2
_LONGEST_PART: Final = 15
_LETTERS_A_PART: Final = 2.5
_SHORTEST_INSIDE: Final = 4
_ENDINGS: Final = ("s", "ed", "d", "ing", "ly", "er", "ers")
# Words of one and two letters must be very common ones, such as "of" and "we", others are known at all.
_COMMON: Final = 150
_RARE: Final = 10**6
# Single letters but "a", "i" and "u" are no words.
_NO_PART: Final = frozenset("bcdefghjklmnopqrstvwxyz")
# A joined word is taken apart only if its parts are, on average, among the commonest two thousand.
_RAREST_PART: Final = 7.6
_WANTED_COST: Final = 7.0
_AROUND: Final = 120
_SHORT_TEXT: Final = 400


@dataclass(frozen=True, slots=True)
class PlainSpelling:
    """Undoes disguised spelling.

    ``wanted`` are the lower-case words worth disguising, the likeliest first; ``ranks`` holds all known words
    with their place by frequency, 0 the most frequent; ``inside`` finds a wanted word within a longer one.
    """

    wanted: Mapping[str, None]
    ranks: Mapping[str, int]
    inside: re.Pattern[str]

    def spellings(self, text: str) -> tuple[str, ...]:
        """Return the text, and a second reading if some of its words are disguised.

        The second reading of a text over 400 characters is the passages around those words, so that it costs little.
        """
        changes: list[tuple[int, int, str]] = []
        known: dict[str, str | None] = {}
        for pattern, undo in (
            (_APART, self._join),
            (_BENT, self._straighten),
            (_WORD, self._shorten),
            (_JOINED, self._split),
        ):
            if pattern is _WORD and not _ROW.search(text):
                continue
            for match in pattern.finditer(text):
                word = match[0]
                if word not in known:
                    known[word] = undo(word)
                plain = known[word]
                if plain is not None:
                    changes.append((*match.span(), plain))
            known.clear()
        return (text, _rewrite(text, _drop_overlaps(changes))) if changes else (text,)

    def _join(self, apart: str) -> str | None:
        """``i d i o t`` to ``idiot``; several words in a row are told apart as in ``_split``."""
        letters = re.sub(r"[ .\-_*]", "", apart).lower()
        readings = [letters.translate(table) for table in _LEET]
        return next((plain for plain in readings if plain in self.wanted), None) or self._split(readings[0])

    def _straighten(self, bent: str) -> str | None:
        """``st*pid`` and ``1di0t`` to plain words; a row of stars may stand for as many letters or one more."""
        word = bent.lower().rstrip("!|")
        if sum(letter.isalpha() for letter in word) < _FEWEST_LETTERS:
            return None
        for plain in (word.translate(table) for table in _LEET):
            if plain in self.wanted and plain != word:
                return plain
            if _STARS.search(plain) and word[0].isalpha() and (word[-1].isalpha() or _STARS_AT_END.search(word)):
                exact = (one for one in self.wanted if len(one) == len(plain) and _covers(plain, one))
                loose = (one for one in self.wanted if abs(len(one) - len(plain)) <= _STARS_OFF and _frames(plain, one))
                if found := next(exact, None) or next(loose, None):
                    return found
        return None

    def _shorten(self, drawn: str) -> str | None:
        """``stuuupid`` to ``stupid`` and ``killll`` to ``kill``."""
        word = drawn.lower()
        if not _RUN.search(word):
            return None
        return next((plain for row in (r"\1\1", r"\1") if (plain := _RUN.sub(row, word)) in self.wanted), None)

    def _split(self, joined: str) -> str | None:
        """``#banallwomen`` to ``ban all women``, if one part is wanted and the others are common words."""
        word = joined.removeprefix("#").lower()
        if not word.isalpha() or word in self.ranks:
            return None
        if any(word.removesuffix(ending) in self.ranks for ending in _ENDINGS) or not self.inside.search(word):
            return None
        best: list[tuple[float, tuple[str, ...]] | None] = [(0.0, ()), *([None] * len(word))]
        for end in range(1, len(word) + 1):
            for start in range(max(0, end - _LONGEST_PART), end):
                before, part = best[start], word[start:end]
                known = part in self.wanted or self.ranks.get(part, _RARE) < (_RARE if len(part) > 2 else _COMMON)
                if before is None or not known or part in _NO_PART:
                    continue
                cost = before[0] + (_WANTED_COST if part in self.wanted else math.log(self.ranks[part] + 10))
                held = best[end]
                if held is None or cost < held[0]:
                    best[end] = cost, (*before[1], part)
        whole = best[len(word)]
        if whole is None or len(whole[1]) < 2 or len(word) < _LETTERS_A_PART * len(whole[1]):
            return None
        wanted = any(part in self.wanted and len(part) >= _SHORTEST_INSIDE for part in whole[1])
        return " ".join(whole[1]) if wanted and whole[0] / len(whole[1]) <= _RAREST_PART else None


def load_plain_spelling(vocabulary: Mapping[str, int], path: Path = WORDS_FILE) -> PlainSpelling:
    """Make the reader from an encoder's vocabulary, whose ids rise as words grow rarer."""
    lines = path.read_text(encoding="utf-8").splitlines()
    wanted = dict.fromkeys(word for line in lines if not line.startswith("#") for word in line.split())
    words = sorted((place, word) for word, place in vocabulary.items() if word.isascii() and word.isalpha())
    inside = re.compile("|".join(word for word in wanted if len(word) >= _SHORTEST_INSIDE))
    return PlainSpelling(wanted, {word: rank for rank, (_, word) in enumerate(words)}, inside)


def _covers(shape: str, word: str) -> bool:
    """Return whether the word has the letters of a shape as long, whose stars stand for any letter."""
    return all(one in _STAR or one == letter for one, letter in zip(shape, word, strict=True))


def _frames(shape: str, word: str) -> bool:
    """Return whether the word begins and ends with what stands before the first star and behind the last."""
    before, behind = _STARS.split(shape, 1)[0], _STARS.split(shape)[-1]
    return len(before) + len(behind) < len(word) and word.startswith(before) and word.endswith(behind)


def _drop_overlaps(changes: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    kept: list[tuple[int, int, str]] = []
    for change in sorted(changes):
        if not kept or kept[-1][1] <= change[0]:
            kept.append(change)
    return kept


def _rewrite(text: str, changes: list[tuple[int, int, str]]) -> str:
    """Return the text with the changes made, only the passages around them if it is long."""
    passages: list[list[int]] = []
    for start, end, _ in changes:
        low, high = (0, len(text)) if len(text) <= _SHORT_TEXT else (start - _AROUND, end + _AROUND)
        low = text.rfind(" ", 0, low) + 1 if low > 0 else 0
        space = text.find(" ", high)
        high = space if space >= 0 else len(text)
        if passages and low <= passages[-1][1]:
            passages[-1][1] = max(high, passages[-1][1])
        else:
            passages.append([low, high])
    pieces: list[str] = []
    waiting = iter([*changes, (len(text) + 1, 0, "")])
    start, end, plain = next(waiting)
    for low, high in passages:
        at = low
        while start < high:
            pieces += [text[at:start], plain]
            at = end
            start, end, plain = next(waiting)
        pieces += [text[at:high], " … " if high < len(text) else ""]
    return "".join(pieces)
