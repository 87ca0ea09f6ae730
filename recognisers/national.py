"""Personal numbers that show what they are by their punctuation or letters, and by check digits where they have any."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from recognisers.checksums import (
    only_digits,
    passes_ahv,
    passes_belgian,
    passes_birth_number,
    passes_cpf,
    passes_curp,
    passes_dni,
    passes_fiscal_code,
    passes_hetu,
    passes_luhn,
    passes_nir,
    passes_rut,
    passes_verhoeff,
)
from recognisers.recogniser import END, HINT_START, Found, Needs, Recogniser, starting_with

_DIGIT: Final = starting_with("[0-9]")
_SSN: Final = re.compile(_DIGIT + r"[0-9]{2}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![\w@-])")
_DNI: Final = re.compile(r"[0-9XYZ](?<=(?<![\w.-])[0-9XYZ])[0-9]{7}-?([A-HJ-NP-TV-Z])(?![\w-])")
_FISCAL: Final = re.compile(
    r"[A-Z](?<=(?<!\w)[A-Z])[A-Z]{5}[0-9L-NP-V]{2}[ABCDEHLMPRST][0-9L-NP-V]{2}[A-Z][0-9L-NP-V]{3}[A-Z](?!\w)"
)
_NIR: Final = re.compile(
    starting_with("[12]") + r" ?[0-9]{2} ?(?:0[1-9]|1[0-2]) ?[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}" + END
)
_CPF: Final = re.compile(_DIGIT + r"[0-9]{2}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}(?![\w-])")
_HETU: Final = re.compile(
    starting_with("[0-3]") + r"[0-9](?:0[1-9]|1[0-2])[0-9]{2}[-+ABCDEFYXWVU][0-9]{3}[0-9A-FHJ-NPR-Y](?![\w-])"
)
# Not of the years 2020 to 2029: order numbers that begin with a date look just the same.
_PERSONNUMMER: Final = re.compile(
    r"(?:" + _DIGIT + r"(?<=1)9[0-9]|" + _DIGIT + r"(?<=2)0[01]|" + starting_with("[013-9]") + r")[0-9]"
    r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01]|6[1-9]|[78][0-9]|9[01])[-+][0-9]{4}(?![\w-])"
)
_BIRTH_NUMBER: Final = re.compile(_DIGIT + r"[0-9][0-9][0-9](?:0[1-9]|[12][0-9]|3[01])/[0-9]{4}(?![\w/-])")
_BELGIAN: Final = re.compile(
    _DIGIT + r"[0-9]\.(?:0[1-9]|1[0-2])\.(?:0[1-9]|[12][0-9]|3[01])-[0-9]{3}\.[0-9]{2}(?![\w-])"
)
_AHV: Final = re.compile(starting_with("7") + r"56\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}(?![\w-])")
_RUT: Final = re.compile(_DIGIT + r"[0-9]?\.[0-9]{3}\.[0-9]{3}-[0-9Kk](?![\w-])")
_AADHAAR: Final = re.compile(starting_with("[2-9]") + r"[0-9]{3} [0-9]{4} [0-9]{4}(?! ?[0-9])(?![\w@-])")
_NINO: Final = re.compile(
    r"[A-CEGHJ-PR-TW-Z](?<=(?<![\w.@/-])[A-CEGHJ-PR-TW-Z])[A-CEGHJ-NPR-TW-Z] [0-9]{2} [0-9]{2} [0-9]{2} [A-D](?!\w)"
)
_NINO_NEVER: Final = frozenset({"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"})
_RRN: Final = re.compile(_DIGIT + r"[0-9](?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])-[1-4][0-9]{6}(?![\w-])")
_CURP: Final = re.compile(
    r"[A-Z](?<=(?<!\w)[A-Z])[AEIOUX][A-Z]{2}[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[HMX][A-Z]{2}"
    r"[B-DF-HJ-NP-TV-Z]{3}[0-9A-Z][0-9](?!\w)"
)


def find_us_ssn(text: str) -> Found:
    """Social security numbers of the United States, which have no check digit, as written with two dashes."""
    for match in _SSN.finditer(text):
        if match[0][:3] not in ("000", "666") and match[0][0] != "9":
            yield match.span()


def find_es_dni(text: str) -> Found:
    """Spain's DNI and NIE."""
    for match in _DNI.finditer(text):
        if passes_dni(match[0][:8], match[1]):
            yield match.span()


def find_fi_hetu(text: str) -> Found:
    """Finland's personal code, from its date to its letter."""
    for match in _HETU.finditer(text):
        code = match[0]
        if 1 <= int(code[:2]) <= 31 and passes_hetu(code[:6], code[7:10], code[10]):
            yield match.span()


def find_uk_nino(text: str) -> Found:
    """The United Kingdom's national insurance number as it is printed, in groups; it has no check digit."""
    for match in _NINO.finditer(text):
        if match[0][:2] not in _NINO_NEVER:
            yield match.span()


def _checked(pattern: re.Pattern[str], check: Callable[[str], bool]) -> Callable[[str], Found]:
    def find(text: str) -> Found:
        for match in pattern.finditer(text):
            if check(match[0]):
                yield match.span()

    return find


def _digits_pass(check: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda value: check(only_digits(value))


def _national(
    name: str, shortest: int, forms: tuple[str, ...], find: Callable[[str], Found], needs: Needs = "six_digits"
) -> Recogniser:
    """Return a recogniser of values that hold one of ``forms``: ``A`` is a capital letter, ``0`` a digit."""
    hint = "|".join(re.escape(form).replace("A", "[A-Z]").replace("0", "[0-9]") for form in forms)
    return Recogniser(name, "national_id", shortest, hint, find, needs)


NATIONAL: Final = (
    _national("us_ssn", 11, ("000-00-0000",), find_us_ssn),
    _national("es_dni", 9, ("0000000A", "0000000-A"), find_es_dni),
    _national("it_fiscal_code", 16, ("AAAAAA",), _checked(_FISCAL, passes_fiscal_code), "nothing"),
    Recogniser(
        "fr_nir",
        "national_id",
        15,
        HINT_START + "[12](?: ?[0-9]){14}",
        _checked(_NIR, lambda value: passes_nir(only_digits(value)[:13], only_digits(value)[13:])),
        "six_digits",
    ),
    _national("br_cpf", 14, ("000.000.000-00",), _checked(_CPF, _digits_pass(passes_cpf))),
    _national("fi_hetu", 11, ("000000-000", "000000+000", "000000A000"), find_fi_hetu),
    _national(
        "se_personnummer",
        11,
        ("000000-0000", "000000+0000"),
        _checked(_PERSONNUMMER, lambda value: passes_luhn(only_digits(value)[-10:])),
    ),
    _national("cz_birth_number", 11, ("000000/0000",), _checked(_BIRTH_NUMBER, _digits_pass(passes_birth_number))),
    _national("be_national_number", 15, ("00.00.00-000.00",), _checked(_BELGIAN, _digits_pass(passes_belgian))),
    _national("ch_ahv", 16, ("000.0000.0000.00",), _checked(_AHV, _digits_pass(passes_ahv))),
    _national(
        "cl_rut",
        11,
        ("0.000.000-",),
        _checked(_RUT, lambda value: passes_rut(only_digits(value[:-2]), value[-1])),
    ),
    _national("in_aadhaar", 14, ("0000 0000 0000",), _checked(_AADHAAR, _digits_pass(passes_verhoeff))),
    _national("uk_nino", 13, ("AA 00 00 00 A",), find_uk_nino),
    _national("kr_rrn", 14, ("000000-0000000",), _checked(_RRN, lambda _: True)),
    _national("mx_curp", 18, ("AAAA000000AAAAAA",), _checked(_CURP, passes_curp)),
)
