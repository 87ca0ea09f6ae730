"""English words that mean the opposite of each other, by pairs that work in both directions.

Regular verbs are given once and inflected; everything else stands as it is used. An underscore stands for a space.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from detectors.text.vocabulary import UNIT_NAMES
from detectors.text.words import stem

_OPPOSITE_VERBS: Final = """
accept/reject increase/decrease open/close start/end include/exclude allow/prohibit permit/ban enable/disable
approve/refuse add/remove support/oppose improve/worsen expand/shrink join/leave arrive/depart succeed/fail
confirm/deny encourage/discourage activate/deactivate connect/disconnect install/uninstall raise/lower praise/criticize
strengthen/weaken attack/defend lock/unlock extend/shorten tighten/loosen heat/cool push/pull upgrade/downgrade
upload/download acquit/convict pass/block hire/fire admit/deny widen/narrow accelerate/slow create/destroy
appoint/dismiss subscribe/unsubscribe borrow/lend import/export deposit/withdraw
"""
_OPPOSITES: Final = """
won/lost rose/fell bought/sold more/less more/fewer higher/lower larger/smaller longer/shorter before/after
above/below up/down first/last best/worst most/fewest always/never all/none every/no both/neither minimum/maximum
at_least/at_most early/late earlier/later north/south east/west northern/southern eastern/western left/right
male/female men/women man/woman boy/girl brother/sister father/mother son/daughter husband/wife his/her he/she
old/new young/old older/younger good/bad strong/weak hot/cold warm/cool wet/dry full/empty free/paid public/private
domestic/international national/local temporary/permanent optional/mandatory voluntary/compulsory safe/dangerous
legal/illegal possible/impossible available/unavailable included/excluded required/optional positive/negative
successful/unsuccessful married/divorced alive/dead guilty/innocent rich/poor cheap/expensive fast/slow near/far
inside/outside indoor/outdoor day/night morning/evening summer/winter spring/autumn day/week week/month month/year
hours/days minutes/hours weeks/months months/years with/without for/against buyer/seller tenant/landlord
employer/employee teacher/student doctor/patient parent/child king/queen actor/actress host/guest lender/borrower
former/current previous/next majority/minority unanimously/narrowly directly/indirectly automatically/manually
rarely/often seldom/frequently partly/fully weekly/monthly daily/weekly annual/monthly yearly/monthly
employees/customers suppliers/customers sunrise/sunset arrival/departure entrance/exit profit/loss income/expenses
increase/decrease growth/decline success/failure beginning/end victory/defeat ally/enemy friend/rival advantage/drawback
upper/lower front/rear clockwise/anticlockwise inbound/outbound online/offline encrypted/unencrypted required/forbidden
refundable/non-refundable taxable/tax-free tall/short deep/shallow thick/thin heavy/light bright/dark loud/quiet
"""
_VOWELS: Final = "aeiou"


def inflect(verb: str) -> tuple[str, str, str, str]:
    """Return base, third person, past and present participle of a regular verb; a second word stays as it is."""
    head, space, tail = verb.partition(" ")
    rest = space + tail
    if head.endswith("e"):
        forms = (head, head + "s", head + "d", head[:-1] + "ing")
    elif head.endswith("y") and head[-2] not in _VOWELS:
        forms = (head, head[:-1] + "ies", head[:-1] + "ied", head + "ing")
    else:
        third = head + ("es" if head.endswith(("s", "sh", "ch", "x", "z")) else "s")
        doubles = head in {"permit", "admit", "ban", "acquit", "ship", "refer", "cancel"}
        stem = head + head[-1] if doubles else head
        forms = (head, third, stem + "ed", stem + "ing")
    first, second, third_form, fourth = (form + rest for form in forms)
    return first, second, third_form, fourth


def pair_table(verbs: str, words: str) -> dict[str, tuple[str, ...]]:
    """Return, for each word or phrase, what may be put in its place."""
    table: dict[str, list[str]] = {}
    pairs = [tuple(pair.split("/")) for pair in _pairs(words)]
    for pair in _pairs(verbs):
        left, right = pair.split("/")
        pairs += zip(inflect(left), inflect(right), strict=True)
    for left, right in pairs:
        table.setdefault(left, []).append(right)
        table.setdefault(right, []).append(left)
    return {word: tuple(dict.fromkeys(others)) for word, others in table.items()}


def _pairs(text: str) -> list[str]:
    """Return the ``left/right`` entries of a list; an underscore stands for the space inside a phrase."""
    return [entry.replace("_", " ") for entry in text.split()]


OPPOSITES: Final = pair_table(_OPPOSITE_VERBS, _OPPOSITES)


def _by_stem(table: Mapping[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    """Return the stems that are opposites of a stem; single words only, and no units: two weeks are 14 days."""
    stems: dict[str, set[str]] = {}
    for word, others in table.items():
        if " " not in word and word not in UNIT_NAMES:
            stems.setdefault(stem(word), set()).update(stem(other) for other in others if " " not in other)
    return {key: frozenset(others) for key, others in stems.items()}


OPPOSITE_STEMS: Final[Mapping[str, frozenset[str]]] = _by_stem(OPPOSITES)
