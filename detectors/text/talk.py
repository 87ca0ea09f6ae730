"""Finds what claims nothing: "I could not find this", "I'm sorry that you are upset", offers and counter-questions.

Such a clause can be neither supported nor unsupported, so its words don't count. A clause ends where another one may
start to claim something ("I could not find the fee, but it is 25 euros"), and apologies and offers that hold a figure
are read as claims, so that a claim cannot hide behind them.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

_BREAK: Final = re.compile(
    r"[;:\u2014]|\s\u2013\s|,|\b(?:but|however|although|though|because|instead|except|yet|otherwise|so)\b"
    r"|\band\s+(?=(?:i|it|its|you|your|we|our|they|their|there|the|this|that|these)\b)",
    re.IGNORECASE,
)
# Atomic and possessive, so that repeated lead-ins cannot be tried in more than one way.
_LEAD: Final = (
    r"\W*+(?>(?:unfortunately|sorry|well|yes|no(?=,)|sure|also|however|but|and|so|therefore|please|then|still|currently|"
    r"honestly|i'm afraid|i am afraid|i'm sorry|i am sorry|i regret|it (?:seems|appears|looks like)|of course)\b\W+)*+"
    r"(?:(?:based on|according to|from|in|given) (?:the|this|these|your|my) (?:\w+ ){0,4}?)?(?:that\s+)?"
)
_PAPERS: Final = (
    r"(?:documents?|documentation|contexts?|texts?|passages?|sources?|articles?|materials?|excerpts?|snippets?|guides?|"
    r"manuals?|handbooks?|polic(?:y|ies)|pages?|files?|reports?|contracts?|knowledge base|information|info|faqs?|"
    r"records?)"
)
_NOT: Final = r"(?:not|n't|never)"
_SAY: Final = r"(?:mention|say|state|specify|indicate|address|discuss|describe|explain|clarify|reveal|disclose)"
_HOLD: Final = r"(?:contain|provide|include|have|give|list|cover|answer|offer|tell)"
_SAID: Final = (
    r"(?:mentioned|said|stated|specified|provided|indicated|addressed|discussed|described|explained|given|available|"
    r"disclosed|known|clear|found)"
)
_TOLD: Final = r"(?:information|info|details?|mention|indication)"
_ASKED: Final = rf"(?:{_TOLD}|(?:this|that|it)\b|(?:your|the|this|that) (?:question|answer))"
_CANNOT: Final = (
    rf"(?:can|could|was|were|am|are|'m|'re|do|did|have|will)?\s*(?:{_NOT}|'t|cannot|unable to)\s+"
    r"(?:been able to\s+|able to\s+|be able to\s+|currently\s+|actually\s+|really\s+)*"
)
_SEEK: Final = r"(?:find|found|locate|see|seen|determine|confirm|verify|know|sure|certain|aware)"
_SERVE: Final = r"(?:say|tell|answer|provide|give|help|assist|identify|access|have|share|comment)"
_ABSTENTION: Final = re.compile(
    _LEAD
    + r"(?:"
    + rf"(?:i|we)\s*{_CANNOT}{_SEEK}\b|i\s*{_CANNOT}{_SERVE}\b|we\s*{_CANNOT}{_SERVE}\s+(?:any\s+|enough\s+)?{_TOLD}\b"
    + r"|(?:i|we)\s+(?:found|see|have)\s+(?:no|nothing)\b"
    + rf"|(?:(?:\w+\s+){{0,3}}?{_PAPERS}(?:\s+\w+){{0,3}}?|it|they|this|that|these)\s+(?:do|does|did)\s*{_NOT}\s+"
    rf"(?:\w+ly\s+|seem to\s+|appear to\s+)?(?:{_SAY}\b|{_HOLD}\s+(?:\w+\s+){{0,2}}?{_ASKED})"
    + rf"|(?:none of the|no|nothing in the)\s+(?:\w+\s+)?{_PAPERS}\s+"
    rf"(?:{_SAY}s?\b|{_HOLD}s?\s+(?:\w+\s+){{0,2}}?{_ASKED})"
    + rf"|there(?:\s+is|\s+are|\s+was|'s)\s*(?:no|not any|not enough|n't any|n't enough)\s+(?:\w+\s+)?{_TOLD}\b"
    + rf"|no\s+(?:\w+\s+)?{_TOLD}\s+(?:about|on|regarding|concerning|of|(?:is|was|are|were)\s+(?:\w+ly\s+)?{_SAID})\b"
    + rf"|(?:this|that|the|such|your)\s+(?:\w+\s+)?{_TOLD}\s+(?:is|are|was|were)\s*{_NOT}\s+"
    rf"(?:\w+ly\s+)?{_SAID}\b"
    + rf"|[^,;.]{{0,80}}?\b(?:is|are|was|were)\s*{_NOT}\s+(?:\w+ly\s+)?{_SAID}\s+(?:anywhere\s+)?"
    rf"(?:in|by|within|from|on)\s+(?:\w+\s+){{0,3}}?{_PAPERS}\b" + r")",
    re.IGNORECASE,
)
_HARD: Final = (
    r"(?:frustrating|annoying|difficult|hard|stressful|disappointing|upsetting|worrying|confusing|unpleasant|tough)"
)
_COURTESY: Final = re.compile(
    r"\W*(?:(?:oh|yes|no|well|again|once again|please|and|so|if needed|in that case|first of all)\W+)*"
    r"(?![^?]*\b(?:confirm|inform|tell|say|announce|report)\b)(?:"
    r"(?:i|we)(?:'m|'re|\s+am|\s+are)?\s+(?:do\s+)?(?:(?!not\b)\w+ly\s+|so\s+|very\s+|completely\s+)*(?:sorry|apologi[sz]e|glad|"
    r"happy|delighted|pleased|understand|appreciate|hope|wish|hear you|can imagine|know (?:how|that this|this))\b"
    r"|(?:my|our)\s+(?:\w+\s+)?apologies\b|apologies\b|sorry\b|thank(?:s| you)\b"
    rf"|(?:that|this|it)\s+(?:must be|must have been|must feel|sounds|is|was)\s+(?:\w+\s+)?{_HARD}\b"
    r"|(?:i|we)(?:'d|'ll|\s+would|\s+will|\s+can)\s+(?:also\s+)?(?:be\s+)?(?:happy|glad|love|like|pleased)\b"
    r"|let me (?:know|check|see|look)\b|feel free\b|do(?:n't| not) hesitate\b|just (?:ask|let me know)\b"
    r"|if (?:you|there)\b.*\b(?:questions?|anything|help|assistance)\b"
    r"|(?:is there|would you|do you|can i|could i|may i|shall i|should i|how (?:can|may|else))\b.*\?"
    r"|(?:you'?re|you are) (?:very |most )?welcome\b|have a (?:\w+ )?(?:day|evening|weekend|week|time)\b"
    r"|(?:great|good) question\b|welcome\b"
    r")",
    re.IGNORECASE,
)
_CLAIMS: Final = re.compile(
    r"\b(?:is|are|was|were|be|will|can|cannot|not|must|may|should|has|have|takes?|costs?|does|do|did|applies|comes?|gets?|pays?)\b|\d|\b[A-Z]\w+",
)
_DIGIT: Final = re.compile(r"\d")
_LONGEST_REMAINDER: Final = 6
LONGEST_TALK: Final = 600


def claimless_ranges(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return the character ranges of ``text[start:end]``, one sentence, that claim nothing; ascending, maybe empty.

    Sentences of more than ``LONGEST_TALK`` characters are taken as claims throughout, which bounds the time.
    """
    if end - start > LONGEST_TALK:
        return []
    ranges: list[tuple[int, int]] = []
    abstaining = False
    for first, last in _clauses(text, start, end):
        clause = text[first:last].replace("\u2019", "'")
        question = "?" if text[first:end].rstrip().endswith("?") else ""
        # "... about delivery, returns or refunds": the rest of a list still belongs to what wasn't found.
        rest = abstaining and _CLAIMS.search(clause) is None and len(clause.split()) <= _LONGEST_REMAINDER
        abstaining = rest or _ABSTENTION.match(clause) is not None
        polite = _COURTESY.match(clause + question) is not None and _DIGIT.search(clause) is None
        if abstaining or polite:
            ranges.append((first, last))
    return ranges


def _clauses(text: str, start: int, end: int) -> list[tuple[int, int]]:
    places = [start, *(match.start() for match in _BREAK.finditer(text, start, end) if match.start() > start), end]
    return [(first, last) for first, last in pairwise(places) if first < last]
