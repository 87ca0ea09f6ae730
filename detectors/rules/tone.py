"""``negative_tone``: whether the response is rude, blaming or dismissive towards the user, by a lexicon with negation.

The response is cut into clauses. Words such as "stupid" count fully in a clause that addresses the user and a fifth in
others, so that a report about a failed test is not taken for an insult; set phrases ("how dare you") count by
themselves. A negation up to three words before turns a word off ("not stupid"), "so" and the like make it heavier, and
polite words of the same sentence take away. What is quoted or in code is not said to the user.

The value is ``w / (w + 1)`` for the weight ``w`` of the worst sentence, so that one full insult is 0.5. It is about
tone, not about content: bad news can be kind, and a toxic text can be courteous. :mod:`detectors.text.toxicity` is the
better judge of insults as such; this one also sees coldness, blame and impatience. English.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from detectors.contract import Findings, SeenExchange
from detectors.model import NEGATIVE_TONE, NO_RESPONSE_TEXT, UNSUPPORTED_TEXT, Exchange, Span
from detectors.rules.language import Languages
from detectors.rules.texts import Verdict, rule_identity, score_text
from detectors.text.sentences import Sentence, split_sentences

VERSION: Final = "1.0.0"
FILE: Final = Path(__file__).with_name("tone_words.txt")

_ELSEWHERE: Final = 0.2
_STRONGER: Final = 1.4
_NEGATION_REACH: Final = 3
_WORD: Final = re.compile(r"[a-z]+(?:['-][a-z]+)*")
_CLAUSE_END: Final = re.compile(r"[,;:\u2014()]|\bbut\b|\bbecause\b|\bwhile\b|\bwhich\b")
_NOT_SAID: Final = re.compile(
    r"```[^`]{0,20000}(?:```|\Z)|`[^`\n]{1,300}`|\"[^\"\n]{1,400}\"|\u201c[^\u201d\n]{1,400}\u201d"
    r"|^ {0,3}>[^\n]{0,2000}",
    re.MULTILINE,
)
_YOU: Final = frozenset({"you", "your", "you're", "you've", "you'd", "you'll", "yours", "yourself", "u", "ur"})
_NOT: Final = frozenset({
    "not", "no", "never", "isn't", "aren't", "wasn't", "weren't", "don't", "doesn't", "didn't", "won't", "wouldn't",
    "can't", "cannot", "shouldn't", "hardly", "neither", "nor", "without", "nothing", "nobody", "rather", "instead",
})  # fmt: skip
_SO: Final = frozenset(
    {"so", "such", "too", "totally", "completely", "utterly", "absolutely", "extremely", "how", "this"}
)


@dataclass(frozen=True, slots=True)
class ToneLexicon:
    """Weights by word, and phrases as tuples of words by their first one."""

    at_you: Mapping[str, float]
    phrases: Mapping[str, tuple[tuple[tuple[str, ...], float], ...]]
    polite: Mapping[str, float]


class ToneDetector:
    """Answers ``negative_tone``; the spans are the sentences at fault."""

    metrics = (NEGATIVE_TONE,)
    traits = ()
    head = None

    def __init__(self, languages: Languages) -> None:
        self._languages = languages
        self.identities = (rule_identity("negative_tone/builtin", VERSION, Path(__file__), FILE),)

    def texts(self, exchange: Exchange) -> Sequence[str]:
        """Nothing: it reads the text itself."""
        return ()

    def judge(self, seen: Sequence[SeenExchange]) -> list[Findings]:
        """Score each response."""
        (maker,) = self.identities
        return [
            Findings((score_text(NEGATIVE_TONE, one.exchange.response, NO_RESPONSE_TEXT, maker, self._judge),))
            for one in seen
        ]

    def _judge(self, text: str) -> Verdict | str:
        return UNSUPPORTED_TEXT if self._languages.guess(text).code not in (None, "en") else judge_tone(text)


def judge_tone(text: str) -> Verdict:
    """Return how rude an English text is to whom it answers. Time is linear in the text."""
    lexicon = load_tone_lexicon()
    said = _NOT_SAID.sub(lambda match: " " * len(match[0]), text)
    worst = 0.0
    spans: list[Span] = []
    for sentence in split_sentences(said):
        weight = _weigh_sentence(sentence, lexicon)
        if weight > 0.5:
            spans.append(Span(sentence.start, sentence.end, round(weight / (weight + 1.0), 4)))
        worst = max(worst, weight)
    return Verdict(round(worst / (worst + 1.0), 4), {}, tuple(spans))


@lru_cache(maxsize=1)
def load_tone_lexicon() -> ToneLexicon:
    """Return the lexicon that this package ships, read once a process."""
    sections: dict[str, dict[str, float]] = {}
    section = ""
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line[1:-1]
            sections[section] = {}
        elif line and not line.startswith("#"):
            weight, _, words = line.partition("\t")
            sections[section].update({word.strip(): float(weight) for word in words.split(",")})
    phrases: dict[str, list[tuple[tuple[str, ...], float]]] = {}
    for written, heavy in sections["phrases"].items():
        phrase = tuple(written.split())
        phrases.setdefault(phrase[0], []).append((phrase, heavy))
    return ToneLexicon(
        MappingProxyType(sections["at_you"]),
        MappingProxyType({first: tuple(found) for first, found in phrases.items()}),
        MappingProxyType(sections["polite"]),
    )


def _weigh_sentence(sentence: Sentence, lexicon: ToneLexicon) -> float:
    low = sentence.text.lower().replace("\u2019", "'")
    total = polite = 0.0
    start = 0
    for end in [*(match.start() for match in _CLAUSE_END.finditer(low)), len(low)]:
        words = _WORD.findall(low[start:end])
        start = end
        if not words:
            continue
        total += _weigh_clause(words, lexicon)
        polite += sum(lexicon.polite.get(word, 0.0) for word in words)
    return max(0.0, total - polite) if total else 0.0


def _weigh_clause(words: list[str], lexicon: ToneLexicon) -> float:
    addressed = not _YOU.isdisjoint(words)
    total = 0.0
    place = 0
    while place < len(words):
        word = words[place]
        for phrase, weight in lexicon.phrases.get(word, ()):
            if tuple(words[place : place + len(phrase)]) == phrase:
                total += weight
                place += len(phrase) - 1
                break
        else:
            weight = lexicon.at_you.get(word, 0.0)
            if weight:
                before = words[max(0, place - _NEGATION_REACH) : place]
                degree = bool(before) and before[-1] in _SO
                # "If you weren't so lazy" takes nothing back; "not stupid" does.
                if degree or _NOT.isdisjoint(before):
                    stronger = _STRONGER if degree else 1.0
                    total += weight * stronger * (1.0 if addressed else _ELSEWHERE)
        place += 1
    return total
