"""``prompt_injection`` and ``context_injection``: texts that try to take over the assistant, by patterns and a network.

Patterns are grouped by what is attempted (override, reveal, persona, authority, delimiter, encoded, exfiltrate, coerce,
fiction, address, tool, other languages, hidden). Each family counts once; the value is ``1 - prod(1 - w)`` over those
found. No single word is enough: over-defence, flagging harmless texts for words such as "ignore", is what ruins such
detectors in practice. For prompts a network on the sentence vector, which the profile has read anyway, speaks up where
no pattern does and it is sure (``heads/injection.md``). Contexts are read by patterns only: they are many and long.

Before the patterns look, letters that stand apart are joined, look-alike and invisible characters are folded, and
characters of the Unicode tag block, which nobody sees, are read as the letters they hide.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from detectors.contract import Findings, SeenExchange, TextReading
from detectors.model import (
    CONTEXT_INJECTION,
    NO_CONTEXT,
    NO_PROMPT_TEXT,
    PROMPT_INJECTION,
    TEXT_TOO_LONG,
    Exchange,
    Score,
    Span,
    assessed,
    not_assessed,
)
from detectors.rules.injection_head import HEAD_FILE, InjectionHead
from detectors.rules.texts import MAX_CHARACTERS, Verdict, rule_identity, score_text

VERSION: Final = "1.0.0"
FILE: Final = Path(__file__).with_name("injection_patterns.txt")
HIDDEN: Final = "hidden"
LEARNT: Final = "learnt"

_NAME: Final = re.compile(r"@([A-Z]+)@")
_HINTS: Final = "hints = "
_NOT_ASCII: Final = "not ascii"
_SECTION: Final = re.compile(r"\[([a-z_]+) (0\.\d+)\]")
_SPACES: Final = re.compile(r"\s+")
_APART: Final = re.compile(r"(?<!\w)\w(?:[ .*_-]\w(?!\w)){4,200}")
_BETWEEN_LETTERS: Final = re.compile(r"[ .*_-]")
# Invisible: soft hyphen, zero-width and joiners, direction marks, variation selectors, byte order mark.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0e\ufeff]"
)
_TAGS: Final = re.compile("[\U000e0020-\U000e007e]{4,}")
_HIDDEN_SURENESS: Final = 0.95
_LOOK_ALIKES: Final = str.maketrans("аеорсухіјѕԁɡո\u2019\u2018\u02bc", "aeopcyxijsdgn'''")
_DIGIT_LETTERS: Final = str.maketrans("013457@$", "oieastas")
_LEET: Final = re.compile(r"\b(?=[a-z]*[013457@$][a-z0-9@$]*[a-z])[a-z0-9@$]{4,20}\b")


@dataclass(frozen=True, slots=True)
class Family:
    """Patterns of one kind of attempt, and how sure one match makes.

    Without any of ``hints`` in a text none can match; no hints means that it takes a character beyond ASCII.
    """

    name: str
    sureness: float
    hints: tuple[str, ...]
    pattern: re.Pattern[str]

    def search(self, text: str) -> re.Match[str] | None:
        """Return the first match in a text in lower case."""
        worth = any(hint in text for hint in self.hints) if self.hints else not text.isascii()
        return self.pattern.search(text) if worth else None


class InjectionDetector:
    """Answers both metrics; labels are families, spans of ``prompt_injection`` mark what matched in the prompt."""

    metrics = (PROMPT_INJECTION, CONTEXT_INJECTION)
    traits = ()
    head = None

    def __init__(self, head: InjectionHead) -> None:
        self._head = head
        self.identities = (rule_identity("injection/builtin", VERSION, Path(__file__), FILE, HEAD_FILE),)

    def texts(self, exchange: Exchange) -> Sequence[str]:
        """The prompt, whose sentence vector the head reads."""
        return [] if exchange.prompt is None else [exchange.prompt]

    def judge(self, seen: Sequence[SeenExchange]) -> list[Findings]:
        """Score the prompt and the contexts of each exchange."""
        return [Findings((self._score_prompt(one), self._score_contexts(one.exchange.contexts))) for one in seen]

    def _score_prompt(self, seen: SeenExchange) -> Score:
        (maker,) = self.identities

        def judge(text: str) -> Verdict:
            verdict = judge_injection(text)
            reading = seen.reading(text)
            if verdict.value >= 0.5 or not isinstance(reading, TextReading) or reading.refusal:
                return verdict
            learnt = self._head.value(reading.vector)
            if learnt <= verdict.value:
                return verdict
            return Verdict(learnt, {**verdict.labels, LEARNT: learnt}, verdict.spans)

        return score_text(PROMPT_INJECTION, seen.exchange.prompt, NO_PROMPT_TEXT, maker, judge)

    def _score_contexts(self, contexts: Sequence[str]) -> Score:
        (maker,) = self.identities
        given = [context for context in contexts if context.strip()]
        if not given:
            return not_assessed(CONTEXT_INJECTION, NO_CONTEXT, maker)
        if sum(map(len, given)) > MAX_CHARACTERS:
            return not_assessed(CONTEXT_INJECTION, TEXT_TOO_LONG, maker)
        worst = max((judge_injection(context) for context in given), key=lambda verdict: verdict.value)
        return assessed(CONTEXT_INJECTION, worst.value, maker, labels=worst.labels)


def judge_injection(text: str) -> Verdict:
    """Return how far a text tries to take over by the patterns alone; the time is linear in the text."""
    found: dict[str, float] = {}
    spans: list[Span] = []
    plain = _lower(text)
    for family in load_families():
        match = family.search(plain)
        if match is not None:
            found[family.name] = family.sureness
            spans.append(Span(match.start(), match.end(), family.sureness))
    unveiled, hides = unveil(text)
    if hides:
        found[HIDDEN] = _HIDDEN_SURENESS
    if unveiled != plain:
        for family in load_families():
            if family.name not in found and family.search(unveiled):
                found[family.name] = family.sureness
    doubt = 1.0
    for sureness in found.values():
        doubt *= 1.0 - sureness
    value = min(0.99, round(1.0 - doubt, 4))
    return Verdict(value, found, tuple(sorted(spans, key=lambda span: (span.start, span.end))))


def unveil(text: str) -> tuple[str, bool]:
    """Return ``text`` in lower case as a model may understand it, and whether it hides letters that nobody sees."""
    hides = False
    if not text.isascii():
        tags = _TAGS.findall(text)
        # Flags of regions are written in these characters too, in runs that end with U+E007F after a waving flag.
        hidden = [run for run in tags if len(run) > 8]
        hides = bool(hidden)
        text = _TAGS.sub(lambda match: "".join(chr(ord(one) - 0xE0000) for one in match[0]), text)
        text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
    low = _SPACES.sub(" ", text.lower().translate(_LOOK_ALIKES))
    low = _APART.sub(lambda match: _BETWEEN_LETTERS.sub("", match[0]), low)
    return _LEET.sub(lambda match: match[0].translate(_DIGIT_LETTERS), low), hides


@lru_cache(maxsize=1)
def load_families() -> tuple[Family, ...]:
    """Return the families that this package ships, compiled once a process."""
    names: dict[str, str] = {}
    families: list[tuple[str, float, list[str]]] = []
    for line in FILE.read_text(encoding="utf-8").splitlines():
        section = _SECTION.fullmatch(line)
        if not line or line.startswith("#"):
            # A pattern may begin with a hash only inside a family.
            if line.startswith("# ") or not line or not families:
                continue
            families[-1][2].append(line)
        elif section is not None:
            families.append((section[1], float(section[2]), []))
        elif not families:
            name, _, pattern = line.partition(" = ")
            names[name] = _NAME.sub(lambda match: names[match[1]], pattern)
        else:
            families[-1][2].append(_NAME.sub(lambda match: names[match[1]], line))
    return tuple(_to_family(name, sureness, lines) for name, sureness, lines in families)


def _to_family(name: str, sureness: float, lines: Sequence[str]) -> Family:
    hints = lines[0].removeprefix(_HINTS)
    wanted = () if hints == _NOT_ASCII else tuple(hints.split("|"))
    return Family(name, sureness, wanted, re.compile("|".join(lines[1:])))


def _lower(text: str) -> str:
    """Return the text in lower case with straight apostrophes, every character in its place."""
    low = text.lower() if text.isascii() else "".join(_lower_one(one) for one in text)
    return low.replace("\u2019", "'").replace("\u2018", "'")


def _lower_one(character: str) -> str:
    low = character.lower()
    return low if len(low) == 1 else character
