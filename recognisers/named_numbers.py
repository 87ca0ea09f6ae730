"""Numbers that only a word beside them gives away: "BSN 111222333", "born on 4 May 1981", "passport no. C01X00T47".

Without the word they are like any other number, so the word is looked for first, and the number behind it in the same
sentence. Where the number has check digits they must fit as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from recognisers.checksums import (
    only_digits,
    passes_bsn,
    passes_cnp,
    passes_egn,
    passes_luhn,
    passes_mod11_10,
    passes_nhs,
    passes_nif,
    passes_norwegian,
    passes_pesel,
    passes_pps,
    passes_routing,
    passes_svnr,
    passes_tax_id,
    passes_tfn,
    passes_verhoeff,
)
from recognisers.recogniser import Found, Recogniser

_REACH: Final = 40
_SENTENCE_END: Final = re.compile(r"[;!?\n]|\. [A-Z]")
_LONGEST: Final = 48
"""No value is longer, so none is cut off that starts within reach of its word."""

_GROUPED: Final = r"(?<![\w.@/+-])[0-9](?:[ .-]?[0-9]){%d}(?![\w@]|[.-][0-9])"


@dataclass(frozen=True, slots=True)
class _Named:
    """``hints`` are runs of ASCII letters of which one stands in every text that ``word`` matches."""

    name: str
    kind: str
    shortest: int
    hints: tuple[str, ...]
    word: re.Pattern[str]
    value: re.Pattern[str]
    check: Callable[[str], bool]

    @property
    def hint(self) -> str:
        """One of the hints as a whole word; before it may stand what JSON makes of a line break."""
        return rf"(?i:(?:^|[^a-z]|\\[bfnrt]|\\u[0-9a-f]{{4}})(?:{'|'.join(self.hints)})(?:[^a-z]|$))"

    def find(self, text: str) -> Found:
        words = list(self.word.finditer(text))
        # A word's reach ends where the next one begins, so no character is looked at twice.
        ends = [*(word.start() for word in words[1:]), len(text)]
        for word, next_start in zip(words, ends, strict=False):
            reach = text[word.end() : min(word.end() + _REACH + _LONGEST, next_start)]
            for match in self.value.finditer(reach):
                if match.start() > _REACH or _SENTENCE_END.search(reach, 0, match.start()):
                    break
                if self.check(match[0]):
                    yield word.end() + match.start(), word.end() + match.end()
                    break


def _word(*words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?![a-z])", re.IGNORECASE | re.ASCII)


def _hints(words: str) -> tuple[str, ...]:
    return tuple(words.split())


def _any(_: str) -> bool:
    return True


def _national(name: str, hints: str, words: tuple[str, ...], length: int, check: Callable[[str], bool]) -> _Named:
    value = re.compile(_GROUPED % (length - 1))
    return _Named(
        name, "national_id", length, _hints(hints), _word(*words), value, lambda found: check(only_digits(found))
    )


def _passes_pps(value: str) -> bool:
    return passes_pps(value[:7], value[7:])


def _is_social_security(digits: str) -> bool:
    return digits[:3] not in ("000", "666") and digits[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"


_MONTHS: Final = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?|januar|februar|m\u00e4rz|mai|juni|juli|oktober|dezember|janvier|f\u00e9vrier|mars|avril"
    r"|juin|juillet|ao\u00fbt|septembre|octobre|novembre|d\u00e9cembre|enero|febrero|marzo|abril|mayo|junio|julio|agosto"
    r"|septiembre|octubre|noviembre|diciembre)"
)
_YEAR: Final = r"(?:19[0-9]{2}|20[0-2][0-9])"
_DAY: Final = r"(?:0?[1-9]|[12][0-9]|3[01])"
_DATE: Final = re.compile(
    rf"(?<![\w-])(?:{_YEAR}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])|{_DAY}[./-]{_DAY}[./-](?:{_YEAR}|[0-9]{{2}})"
    rf"|{_DAY}(?:st|nd|rd|th|\.)? (?:of |de )?{_MONTHS}\.?,?(?: de)? {_YEAR}"
    rf"|{_MONTHS}\.? {_DAY}(?:st|nd|rd|th)?,? {_YEAR})(?!\w)",
    re.IGNORECASE,
)

_NAMED: Final = (
    _national("nl_bsn", "bsn burgerservicenummer", ("bsn", "burgerservicenummer"), 9, passes_bsn),
    _national("pl_pesel", "pesel", ("pesel",), 11, passes_pesel),
    _national(
        "de_tax_id",
        "steuer steuerid steueridentifikationsnummer steuernummer idnr",
        (r"steuer-?id(?:entifikationsnummer|ent-?nr|nr|-nr)?", "steuernummer", "idnr"),
        11,
        passes_tax_id,
    ),
    _national("uk_nhs", "nhs", (r"nhs(?: (?:number|no|nr|id))?",), 10, passes_nhs),
    _national(
        "ca_sin",
        "sin social",
        (r"sin(?= ?(?:[:#0-9]|no|number|is))", r"social insurance(?: (?:number|no))?"),
        9,
        passes_luhn,
    ),
    _national("au_tfn", "tfn tax", ("tfn", r"tax file(?: (?:number|no))?"), 9, passes_tfn),
    _national("in_aadhaar_bare", "aadhaar aadhar", (r"aadhaa?r(?: (?:card|number|no))?",), 12, passes_verhoeff),
    _national("ro_cnp", "cnp", ("cnp",), 13, passes_cnp),
    _national("bg_egn", "egn", ("egn",), 10, passes_egn),
    _national(
        "no_fodselsnummer",
        "dselsnummer fodselsnummer foedselsnummer personnummer nummer",
        (r"f(?:\u00f8|o|oe)dselsnummer", "personnummer", "d-nummer"),
        11,
        passes_norwegian,
    ),
    _national("se_personnummer_bare", "personnummer", ("personnummer",), 10, passes_luhn),
    _national("pt_nif", "nif contribuinte", ("nif", "contribuinte"), 9, passes_nif),
    _national(
        "at_svnr",
        "sozialversicherungsnummer svnr",
        ("sozialversicherungsnummer", "svnr"),
        10,
        passes_svnr,
    ),
    _national("hr_oib", "oib", ("oib",), 11, passes_mod11_10),
    _national("us_ssn_bare", "ssn social", ("ssn", r"social security(?: (?:number|no))?"), 9, _is_social_security),
    _Named(
        "ie_pps",
        "national_id",
        8,
        _hints("pps ppsn"),
        _word(r"ppsn?(?: (?:number|no))?"),
        re.compile(r"(?<!\w)[0-9]{7}[A-W][A-IW]?(?!\w)"),
        _passes_pps,
    ),
    _Named(
        "uk_nino_bare",
        "national_id",
        9,
        _hints("national nino number"),
        _word(r"national insurance(?: (?:number|no))?", "nino", "ni number"),
        re.compile(
            r"(?<!\w)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D](?!\w)", re.IGNORECASE
        ),
        _any,
    ),
    _Named(
        "passport",
        "national_id",
        6,
        _hints("passport reisepassnummer reisepass pasaporte passeport passaporto paspoort paspoortnummer"),
        _word(
            r"passport (?:number|no\.?|nr\.?|#)", r"reisepass(?:nummer|-?nr\.?)", "pasaporte", "passeport",
            "passaporto",
            r"paspoort(?:nummer)?",
        ),
        re.compile(r"(?<!\w)(?=[A-Z0-9]{0,8}[0-9]{2})[A-Z0-9]{6,9}(?!\w)"),
        _any,
    ),
    _Named(
        "driving_licence",
        "national_id",
        6,
        _hints("licence license hrerscheinnummer hrerschein"),
        _word(r"driv(?:er'?s?|ing) licen[cs]e (?:number|no\.?|#)", r"f\u00fchrerschein(?:nummer|-?nr\.?)"),
        re.compile(r"(?<!\w)(?=[A-Z0-9]{0,15}[0-9]{4})[A-Z0-9]{6,18}(?!\w)"),
        _any,
    ),
    _Named(
        "birth_date",
        "birth_date",
        6,
        _hints(
            "born birth birthdate birthday dob geboren geburtsdatum geb nacimiento nac nacido nacida naissance nascita "
            "nato nata nascimento geboortedatum"
        ),
        _word(
            r"born(?: on)?", r"(?:date of birth|birth ?date|birthday)(?: is| was)?", "dob", r"geboren(?: am)?",
            "geburtsdatum", r"geb\.", "nacimiento", r"nac(?:\u00ed|i\u00f3|ido|ida)(?: el)?", "naissance", "nascita",
            r"nat[oa] il", "nascimento", "geboortedatum",
        ),
        _DATE,
        _any,
    ),
    _Named(
        "us_routing",
        "bank_account",
        9,
        _hints("routing aba"),
        _word(r"(?:routing|aba)(?: (?:transit )?(?:number|no\.?|#))?"),
        re.compile(_GROUPED % 8),
        lambda found: passes_routing(only_digits(found)),
    ),
    _Named(
        "account_number",
        "bank_account",
        6,
        _hints("account acct kontonummer kontonr"),
        _word(
            r"(?:bank |checking |savings )(?:account|acct\.?)(?: (?:number|no\.?|nr\.?|#))?", "kontonummer",
            r"kontonr\.?",
        ),
        re.compile(r"(?<![\w.@/+-])[0-9](?:[ -]?[0-9]){5,16}(?![\w@]|[.-][0-9])"),
        _any,
    ),
    _Named(
        "uk_sort_code",
        "bank_account",
        8,
        _hints("sort"),
        _word(r"sort[- ]code"),
        re.compile(r"(?<![\w.@/+-])[0-9]{2}[- ][0-9]{2}[- ][0-9]{2}(?![\w@-])"),
        _any,
    ),
)  # fmt: skip

_FEW_DIGITS: Final = frozenset({"birth_date", "passport", "driving_licence"})

NAMED_NUMBERS: Final = tuple(
    Recogniser(
        one.name,
        one.kind,
        one.shortest,
        one.hint,
        one.find,
        "two_digits" if one.name in _FEW_DIGITS else "six_digits",
    )
    for one in _NAMED
)
