"""Which language prompt and response are in: traits, not scores, since no language is better or worse.

The guess is that of py3langid, a naive Bayes over byte n-grams whose model travels in its wheel (4.6 MB, 140 labels).
Of these we keep the hundred that are written most; fewer rivals make short texts surer. Its confidence is calibrated
over lengths, so that a word or two come out unclear rather than wrong. Measured on our 43 sentences in 25 languages: 42
are sure, all of them right; of their first three words 31 are sure, 30 right. fastText's lid.176 in its small form got
two whole sentences wrong; lingua got none wrong at 8 times the time and 1.1 GB of memory.

Code, addresses and figures are no language: what has fewer than eight letters besides them is too short to judge.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from detectors.contract import Findings, SeenExchange
from detectors.model import NO_PROMPT_TEXT, NO_RESPONSE_TEXT, Exchange, Trait
from detectors.rules.texts import rule_identity

LANGUAGE: Final = "language"
PROMPT_LANGUAGE: Final = "prompt_language"
TEXT_TOO_SHORT: Final = "text_too_short"
LANGUAGE_UNCLEAR: Final = "language_unclear"

VERSION: Final = "1.0.0"
LEAST_CONFIDENCE: Final = 0.5
LEAST_LETTERS: Final = 8
# A letter of these scripts says as much as a word of others.
_LEAST_IDEOGRAPHS: Final = 2
READ_CHARACTERS: Final = 1_000
_CACHED: Final = 4_096

_KEPT: Final = (
    "af am ar ary arz az be bg bn br bs ca cs cy da de el en eo es et eu fa fi fr ga gl gu ha he hi hr ht hu hy id ig "
    "is it ja jv ka kk km kn ko ku ky la lb lo lt lv mg mk ml mn mr ms mt my ne nl nn no or pa pl ps pt ro ru rw si sk "
    "sl so sq sr sv sw ta te tg th tk tl tr tt uk ur uz vi wuu xh yo yue zh zu zxx"
)
# Codes of ISO 639-1 for what py3langid tells apart more finely.
_FOLDED: Final = {"yue": "zh", "wuu": "zh", "arz": "ar", "ary": "ar", "nn": "no"}
_NO_LANGUAGE: Final = "zxx"
_NOT_PROSE: Final = re.compile(
    r"```[^`]{0,4000}(?:```|\Z)|`[^`\n]{1,200}`|[a-z]{2,10}://\S{1,2000}|[\w.+-]{1,64}@[\w.-]{1,255}"
)


@dataclass(frozen=True, slots=True)
class Guess:
    """A language as an ISO 639-1 code with its confidence in [0, 1], or the reason why there is none."""

    code: str | None
    confidence: float
    reason: str | None = None


class Languages:
    """Guesses languages, and remembers those of recent texts: several detectors ask for the same ones.

    Not for several threads at once.
    """

    def __init__(self) -> None:
        # Reading the model takes half a second; nobody who scores nothing should pay for it.
        from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415

        self._identifier: Any = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        self._identifier.set_languages(_KEPT.split())
        self._known: OrderedDict[str, Guess] = OrderedDict()

    def guess(self, text: str) -> Guess:
        """Return the language of ``text``, judged by its first 1,000 characters that are prose."""
        prose = _to_prose(text)
        known = self._known.get(prose)
        if known is None:
            known = self._known[prose] = self._classify(prose)
            if len(self._known) > _CACHED:
                self._known.popitem(last=False)
        return known

    def _classify(self, prose: str) -> Guess:
        if not _is_enough(prose):
            return Guess(None, 0.0, TEXT_TOO_SHORT)
        label, confidence = self._identifier.classify(prose)
        code = _FOLDED.get(label, label)
        rounded = round(min(1.0, max(0.0, confidence)), 4)
        if code == _NO_LANGUAGE or confidence < LEAST_CONFIDENCE:
            return Guess(None, rounded, LANGUAGE_UNCLEAR)
        return Guess(code, rounded)


class LanguageDetector:
    """The traits ``language`` and ``prompt_language``: one label, an ISO 639-1 code, with its confidence."""

    metrics = ()
    traits = (LANGUAGE, PROMPT_LANGUAGE)
    head = None

    def __init__(self, languages: Languages) -> None:
        self._languages = languages
        extra = f"py3langid {version('py3langid')}"
        self.identities = (rule_identity("language/builtin", VERSION, Path(__file__), extra=extra),)

    def texts(self, exchange: Exchange) -> Sequence[str]:
        """Nothing: it reads the text itself."""
        return ()

    def judge(self, seen: Sequence[SeenExchange]) -> list[Findings]:
        """Say the language of prompt and response."""
        return [
            Findings(
                traits=(
                    self._trait(LANGUAGE, one.exchange.response, NO_RESPONSE_TEXT),
                    self._trait(PROMPT_LANGUAGE, one.exchange.prompt, NO_PROMPT_TEXT),
                )
            )
            for one in seen
        ]

    def _trait(self, name: str, text: str | None, absent: str) -> Trait:
        (maker,) = self.identities
        if text is None or not text.strip():
            return Trait(name, "not_assessed", absent, {}, maker)
        guess = self._languages.guess(text)
        if guess.code is None:
            return Trait(name, "not_assessed", guess.reason, {}, maker)
        return Trait(name, "assessed", None, {guess.code: guess.confidence}, maker)


def _to_prose(text: str) -> str:
    start = text[: 4 * READ_CHARACTERS]
    if "`" in start or "://" in start or "@" in start:
        start = _NOT_PROSE.sub(" ", start)
    return start[:READ_CHARACTERS]


def _is_enough(prose: str) -> bool:
    letters = 0
    ideographs = 0
    for character in prose:
        if character.isalpha():
            letters += 1
            ideographs += "\u2e80" <= character <= "\ud7a3"
            if letters >= LEAST_LETTERS or ideographs >= _LEAST_IDEOGRAPHS:
                return True
    return False
