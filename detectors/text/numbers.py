"""Reads quantities: digits, thousands separators, number words, scales, clock times, ISO dates, ordinals and units.

"€1,000", "1000 euros" and "one thousand euros" must come out as the same number and the same unit; numbers that only
count list items, steps or cited documents must not come out at all. English spelling; a figure with one full stop and
three digits after it ("1.000") is read both ways, as nobody can tell which was meant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from detectors.text.vocabulary import (
    CURRENCIES,
    ENUMERATORS,
    FUNCTION_WORDS,
    NUMBER_WORDS,
    SCALE_WORDS,
    UNIT_ABBREVIATIONS,
    UNIT_NAMES,
    UNIT_RATIOS,
)

_TOKEN: Final = re.compile(
    r"\d+(?:[.,'\u2019\u00a0\u202f]\d+)*|[^\W\d_]+(?:['\u2019-][^\W\d_]+)*|[^\W_]+|[\u20ac$\u00a3\u00a5%]"
)
_DIGITS: Final = re.compile(r"\d+(?:[.,'\u2019\u00a0\u202f]\d+)*")
_THOUSANDS: Final = re.compile(r"[,'\u2019\u00a0\u202f](?=\d{3}(?:\D|\Z))")
_EITHER_WAY: Final = re.compile(r"\d{1,3}\.\d{3}")
_HALF_OF_DAY: Final = re.compile(r"(?::\d{2})?[ \u00a0\u202f]?([ap])\.?m\b\.?", re.IGNORECASE)
_LEADING_MARKUP: Final = re.compile(r"[\s*_#>(\u2022-]*")
_ISO_MONTH: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?!\d)")
_ORDINAL_ENDINGS: Final = frozenset({"st", "nd", "rd", "th"})
_SCALE_LETTERS: Final = {"k": 3, "K": 3, "M": 6, "bn": 9}
_HOURS: Final = frozenset(map(str, range(1, 13)))
_RANGE_WORDS: Final = frozenset({"to", "or", "and"})
_LONGEST_LIST_NUMBER: Final = 3
_UNIT_REACH: Final = 4
_LONGEST_FIGURE: Final = 40


@dataclass(frozen=True, slots=True)
class Token:
    """One word, figure or symbol with its character range in the whole text."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as it was written.

    ``value`` is its one spelling and ``readings`` are others it may be found by; ``after`` is the index of the next
    token. ``unit`` is what the number measures ("day", "euro", "percent") or empty. A spelled number has no digit.
    """

    value: str
    readings: tuple[str, ...]
    unit: str
    is_spelled: bool
    start: int
    end: int
    after: int


def normal_number(number: str) -> str:
    """Return a number in one spelling, without thousands commas and trailing zeros: "1,000.50" gives "1000.5"."""
    plain = _THOUSANDS.sub("", number)
    plain = re.sub(r"[,'\u2019\u00a0\u202f]", ".", plain)
    if plain.count(".") == 1:
        plain = plain.rstrip("0").rstrip(".")
    plain = plain.lstrip("0") or "0"
    return "0" + plain if plain.startswith(".") else plain


def tokens_of(text: str, start: int, end: int) -> list[Token]:
    """Return the tokens of ``text[start:end]``; hyphenated words that hold a number word come in their parts."""
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text, start, end):
        token = match[0]
        parts = token.split("-")
        if len(parts) == 1 or not any(part.lower() in NUMBER_WORDS for part in parts):
            tokens.append(Token(token, match.start(), match.end()))
            continue
        place = match.start()
        for part in parts:
            tokens.append(Token(part, place, place + len(part)))
            place += len(part) + 1
    return tokens


def unit_of(tokens: Sequence[Token], index: int, *, follows_number: bool) -> str:
    """Return the unit a token names, or nothing; abbreviations such as "h" and "GB" only count after a number."""
    lower = tokens[index].text.lower()
    if lower == "cent" and index and tokens[index - 1].text.lower() == "per":
        return "percent"
    if follows_number and lower in UNIT_ABBREVIATIONS:
        return UNIT_ABBREVIATIONS[lower]
    return UNIT_NAMES.get(lower, "")


def is_figure(token: Token) -> bool:
    """Return whether a token is written in digits."""
    return _DIGITS.fullmatch(token.text) is not None


def is_enumeration(text: str, tokens: Sequence[Token], index: int, start: int) -> bool:
    """Return whether a figure only numbers something: "1." that opens a sentence, "[2]", "(3)", "step 4"."""
    token = tokens[index]
    if len(token.text) > _LONGEST_LIST_NUMBER:
        return False
    before, after = text[max(start, token.start - 1) : token.start], text[token.end : token.end + 1]
    if before in {"[", "("} and after in {"]", ")"}:
        return True
    if index and tokens[index - 1].text.lower() in ENUMERATORS and text[tokens[index - 1].end : token.start].isspace():
        return True
    opens = index == 0 and _LEADING_MARKUP.fullmatch(text, start, token.start) is not None
    return opens and bool(re.match(r"[.):](?:\s|[*_]|\Z)", text[token.end : token.end + 2]))


def read_quantity(text: str, tokens: Sequence[Token], index: int) -> Quantity | None:
    """Return the quantity that starts at ``tokens[index]``, or None if none does."""
    token = tokens[index]
    if is_figure(token):
        return _read_figure(text, tokens, index)
    if token.text.lower() in NUMBER_WORDS:
        return _read_words(text, tokens, index)
    return None


def _read_figure(text: str, tokens: Sequence[Token], index: int) -> Quantity:
    token = tokens[index]
    value = normal_number(token.text)
    readings = [token.text.replace(".", "")] if _EITHER_WAY.fullmatch(token.text) else []
    end, after = token.end, index + 1
    scale = 0
    if after < len(tokens):
        following = tokens[after]
        attached = following.start == token.end
        if attached and following.text.lower() in _ORDINAL_ENDINGS:
            end, after = following.end, after + 1
        elif attached and following.text in _SCALE_LETTERS:
            scale = _SCALE_LETTERS[following.text]
        elif following.text.lower() in SCALE_WORDS and text[token.end : following.start].strip() in {"", "-"}:
            scale = SCALE_WORDS[following.text.lower()]
    if scale:
        end, after = tokens[after].end, after + 1
        scaled = _scaled(value, scale)
        value, readings = scaled, [_scaled(reading, scale) for reading in readings]
    half = _HALF_OF_DAY.match(text, end)
    if half is not None and value in _HOURS:
        readings.append(str(int(value) % 12 + (12 if half[1].lower() == "p" else 0)))
    return Quantity(value, tuple(readings), _unit_after(text, tokens, index, after), False, token.start, end, after)


def _scaled(value: str, scale: int) -> str:
    if len(value) > _LONGEST_FIGURE:
        return value
    try:
        return normal_number(f"{Decimal(value).scaleb(scale):f}")
    except InvalidOperation:
        return value


def _read_words(text: str, tokens: Sequence[Token], index: int) -> Quantity:
    """Read "twenty-five", "one hundred and twenty", "three thousand": tens take ones, scales multiply what came."""
    total = current = 0
    last = smallest_scale = 10**12
    after = index
    while after < len(tokens):
        lower = tokens[after].text.lower()
        if lower == "and" and last >= 100 and after > index and after + 1 < len(tokens):
            following = tokens[after + 1].text.lower()
            if NUMBER_WORDS.get(following, 100) >= 100:
                break
            after += 1
            continue
        value = NUMBER_WORDS.get(lower)
        if value is None or (after > index and text[tokens[after - 1].end : tokens[after].start].strip(" -")):
            break
        if value >= 1000:
            if value >= smallest_scale:
                break
            smallest_scale = value
            total, current = total + max(current, 1) * value, 0
        elif value == 100:
            if current >= 10:
                break
            current = max(current, 1) * 100
        elif value < last and (after == index or last >= 100 or (20 <= last < 100 and 0 < value < 10)):
            current += value
        else:
            break
        last = value
        after += 1
    unit = _unit_after(text, tokens, index, after)
    return Quantity(str(total + current), (), unit, True, tokens[index].start, tokens[after - 1].end, after)


def _unit_after(text: str, tokens: Sequence[Token], index: int, after: int) -> str:
    """Return the unit of a number: a currency right before it, or a unit soon after it ("3 to 5 working days")."""
    if index and tokens[index].start - tokens[index - 1].end <= 1:
        before = CURRENCIES.get(tokens[index - 1].text.lower())
        if before is not None:
            return before
    for place in range(after, min(after + _UNIT_REACH, len(tokens))):
        gap = text[tokens[place - 1].end : tokens[place].start].strip(" \u00a0\u202f")
        unit = unit_of(tokens, place, follows_number=place == after or is_figure(tokens[place - 1]))
        if gap.strip("-\u2013") or unit:
            return unit if not gap.strip("-\u2013") else ""
        lower = tokens[place].text.lower()
        joined = bool(gap) or tokens[place - 1].text.lower() in _RANGE_WORDS
        if is_figure(tokens[place]) or lower in NUMBER_WORDS:
            if not joined:
                return ""
        elif lower in FUNCTION_WORDS and lower not in _RANGE_WORDS and lower != "per":
            return ""
    return ""


def conversions(value: str, unit: str) -> list[tuple[str, str]]:
    """Return (value, unit) pairs that say the same, where the ratio is exact: 2 weeks are 14 days, 24 hours one day."""
    if not value.isdigit() or len(value) > _LONGEST_FIGURE:
        return []
    number = int(value)
    found = [(str(number * ratio), small) for large, ratio, small in UNIT_RATIOS if large == unit]
    found += [
        (str(number // ratio), large) for large, ratio, small in UNIT_RATIOS if small == unit and not number % ratio
    ]
    return found


def iso_dates(text: str, start: int, end: int) -> dict[int, int]:
    """Return where the month of each date like 2026-10-04 stands, with its number."""
    return {
        match.start() + 5: int(match[0][5:7])
        for match in _ISO_MONTH.finditer(text, start, end)
        if 1 <= int(match[0][5:7]) <= 12
    }
