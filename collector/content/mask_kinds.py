"""Where personal data and secrets stand in a text: one finder a kind, each precise rather than thorough.

Every number is checked by what its issuer checks it by (Luhn, ISO 7064 mod 97, check letters), so that order numbers,
versions, times and hexadecimal ids stay. Every repetition is bounded and every search starts where a run of characters
starts, so the time grows with the length of the text and not faster, whatever it holds.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType

Found = Iterator[tuple[int, int]]


Outline = tuple[bytes, bytes, bytes]
"""A text as bytes, three times: as it is; with ``A``, ``a`` and ``0`` for letters and digits; that without separators.

Cheap to make, and enough to tell at once that most texts hold nothing.
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """``may_hold`` is quick, and never false for the outline of a text in which ``find`` finds something.

    ``shortest`` is the least number of characters that it takes.
    """

    name: str
    shortest: int
    may_hold: Callable[[Outline], bool]
    find: Callable[[str], Found]


# Where something may start: not inside a word or number, or behind an escaped line break of JSON within a text.
_START = r"(?:(?<![\w.@/-])|(?<=//)|(?<=\\[nrt]))"
_END = r"(?![\w@])"

_DOMAIN = re.compile(r"@((?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}([^\W\d_]{2,24}))(?![\w@-]|:[\w~/])")
_LOCAL = re.compile(r"[\w.%+'-]{1,64}\Z")
_FILE_ENDINGS = "avif bmp css gif htm html ico jpeg jpg js json jsx mjs mp4 pdf png py svg ts tsx webp"
_FILES = frozenset(_FILE_ENDINGS.split())

_CARD = re.compile(_START + r"[0-9](?:[ -]?[0-9]){12,18}")
_CARD_STARTS = re.compile(
    r"(?:4[0-9]{12}(?:[0-9]{3}){0,2}|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"
    r"|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|6(?:011|4[4-9][0-9]|5[0-9]{2})[0-9]{12,15}"
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12,15}|62[0-9]{14,17})\Z"
)

_IBAN = re.compile(r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))[A-Z]{2}[0-9]{2}(?= ?[A-Z0-9]{4})")
# ISO 13616: how many characters an account number of each country has.
_IBAN_COUNTRIES = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 "
    "FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 "
    "LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 "
    "SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
)
_IBAN_LENGTHS = MappingProxyType({pair[:2]: int(pair[2:]) for pair in _IBAN_COUNTRIES.split()})

_PHONE = re.compile(
    r"(?:(?<![\w.@/+-])|(?<=\\[nrt])|(?<=tel:))(?:"
    r"\+[1-9](?:[ .()/-]{0,2}[0-9]){7,14}"  # E.164, with separators as people write them
    r"|(?<![0-9] )(?:00[1-9][0-9]{0,2}[ /-](?:[ ()/-]{0,2}[0-9]){6,12}"
    r"|(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[.-])[2-9][0-9]{2}[ .-][0-9]{4}"  # North America
    r"|\(?0[1-9][0-9]{1,4}\)?[ /-][0-9]{3,4}(?:[ -]?[0-9]{2,4}){1,2}"  # with a trunk prefix, as in Europe
    r"))(?![\w@]|[.-][0-9])"
)

_IPV4 = re.compile(_START + r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w@-]|\.[0-9])")
_IPV6 = re.compile(r"(?:(?<![\w:.])|(?<=\\[nrt]))[0-9A-Fa-f]{1,4}(?::{1,2}[0-9A-Fa-f]{1,4}){2,7}(?![\w:])")
_VERSION = re.compile(r"(?:\bv|\bver(?:sion)?|\brelease|\bbuild)[ .:=\"']{0,4}\Z", re.IGNORECASE)

_SECRET = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:sk|rk|pk)-[A-Za-z0-9_-]{16,256}|(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,128}"
    r"|gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{40,255}|glpat-[A-Za-z0-9_-]{20,64}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,255}|hf_[A-Za-z0-9]{30,64}|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,255}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{35}|SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}"
    r"|eyJ[A-Za-z0-9_-]{8,4096}\.eyJ[A-Za-z0-9_-]{8,8192}\.[A-Za-z0-9_-]{8,2048}"
    r"|[Bb]earer [A-Za-z0-9._~+/=-]{16,4096}"
    r")(?![A-Za-z0-9])"
)
_PRIVATE_KEY = re.compile(r"-----BEGIN ([A-Z ]{0,32}PRIVATE KEY)-----")
# What such secrets begin with, once letters that are alternatives of each other are made alike.
_ALIKE = bytes.maketrans(b"surK", b"pppS")
_SECRET_HINTS = (
    b"pk-", b"k_live_", b"k_tept_", b"ghp_", b"gho_", b"githpb_pat_", b"glpat-", b"xox", b"hf_", b"npm_", b"pypi-",
    b"ASIA", b"AIza", b"SG.", b"eyJ", b"eapep ", b"-----BEGIN ",
)  # fmt: skip

_SSN = re.compile(_START + r"(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![\w@-])")
_DNI = re.compile(r"(?<![\w.-])([0-9]{8}|[XYZ][0-9]{7})-?([A-HJ-NP-TV-Z])(?![\w-])")
_FISCAL = re.compile(r"(?<!\w)[A-Z]{6}[0-9L-NP-V]{2}[ABCDEHLMPRST][0-9L-NP-V]{2}[A-Z][0-9L-NP-V]{3}[A-Z](?!\w)")
_NIR = re.compile(_START + r"([12] ?[0-9]{2} ?(?:0[1-9]|1[0-2]) ?[0-9]{2} ?[0-9]{3} ?[0-9]{3}) ?([0-9]{2})" + _END)
_CPF = re.compile(_START + r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}(?![\w-])")
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_FISCAL_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)

_SHAPES = bytes(
    48 if 48 <= byte <= 57 else 65 if 65 <= byte <= 90 else 97 if 97 <= byte <= 122 else byte for byte in range(256)
)
_SEPARATORS = b" ().-/"


def outline(text: bytes) -> Outline:
    """Return the outline of a text in UTF-8, or of the JSON it stands in."""
    return text, text.translate(_SHAPES), text.translate(_SHAPES, _SEPARATORS)


def find_emails(text: str) -> Found:
    """Mail addresses with a domain of letters at the end; not ``name@2x.png``, ``@decorator``, ``pkg@1.2.3``."""
    done = 0
    for domain in _DOMAIN.finditer(text):
        at = domain.start()
        local = _LOCAL.search(text, max(done, at - 64), at)
        if local is None or domain[2].lower() in _FILES:
            continue
        start = local.start()
        start += start > 0 and text[start - 1] == "\\"  # An escape of JSON within the text, such as \n.
        if start < at:
            yield start, domain.end()
            done = domain.end()


def find_cards(text: str) -> Found:
    """Payment cards: a known issuer's prefix and length, and Luhn's check digit (ISO/IEC 7812)."""
    for match in _CARD.finditer(text):
        for end in range(match.end(), match.start() + 12, -1):
            if text[end - 1] in " -" or text[end : end + 1].isalnum():
                continue
            digits = text[match.start() : end].replace(" ", "").replace("-", "")
            if _CARD_STARTS.match(digits) and _passes_luhn(digits):
                yield match.start(), end
                break


def find_ibans(text: str) -> Found:
    """Bank account numbers: a country's length and the check digits of ISO 7064."""
    for match in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(match[0][:2], 0)
        characters, place = match[0], match.end()
        while len(characters) < length and place < len(text):
            letter = text[place]
            if letter.isascii() and (letter.isdigit() or letter.isupper()):
                characters += letter
            elif letter != " " or text[place - 1] == " ":
                break
            place += 1
        whole = len(characters) == length > 0 and not text[place : place + 1].isalnum()
        if whole and int("".join(str(int(one, 36)) for one in characters[4:] + characters[:4])) % 97 == 1:
            yield match.start(), place


def find_phones(text: str) -> Found:
    """Phone numbers written internationally, with a trunk prefix, or the North American way."""
    yield from (match.span() for match in _PHONE.finditer(text))


def find_addresses(text: str) -> Found:
    """IP addresses of both kinds; not versions of four parts, and not loopback or unspecified addresses."""
    if "." in text:
        for match in _IPV4.finditer(text):
            before = text[max(0, match.start() - 12) : match.start()]
            if not _VERSION.search(before) and _is_address(match[0]):
                yield match.span()
    if text.count(":") > 2:
        for match in _IPV6.finditer(text):
            if match[0].count(":") > 2 and any(one.isdigit() for one in match[0]) and _is_address(match[0]):
                yield match.span()


def find_secrets(text: str) -> Found:
    """Keys and tokens whose issuers mark them, bearer tokens, JSON Web Tokens and private keys."""
    yield from (match.span() for match in _SECRET.finditer(text))
    done = 0
    for match in _PRIVATE_KEY.finditer(text):
        if match.start() >= done:
            foot = f"-----END {match[1]}-----"
            end = text.find(foot, match.end())
            done = len(text) if end < 0 else end + len(foot)
            yield match.start(), done


def find_national_ids(text: str) -> Found:
    """Personal numbers that can be told from others: those of Brazil, France, Italy, Spain and the United States.

    All but the last have check digits; the last is taken only as written with two dashes.
    """
    yield from (match.span() for match in _SSN.finditer(text))
    for match in _DNI.finditer(text):
        number = match[1].translate(str.maketrans("XYZ", "012"))
        if _DNI_LETTERS[int(number) % 23] == match[2]:
            yield match.span()
    for match in _FISCAL.finditer(text):
        if _passes_fiscal(match[0]):
            yield match.span()
    for match in _NIR.finditer(text):
        if 97 - int(match[1].replace(" ", "")) % 97 == int(match[2]):
            yield match.span()
    for match in _CPF.finditer(text):
        if _passes_cpf(match[0]):
            yield match.span()


def _may_hold_address(seen: Outline) -> bool:
    return b"0.0" in seen[1] or seen[0].count(b":") > 2


def _may_hold_national_id(seen: Outline) -> bool:
    shape = seen[1]
    return (
        b"000-00-0000" in shape
        or b"000.000.000-00" in shape
        or b"0000000A" in shape
        or b"0000000-A" in shape
        or b"AAAAAA" in shape
        or b"0" * 15 in seen[2]
    )


def _may_hold_secret(seen: Outline) -> bool:
    alike = seen[0].translate(_ALIKE)
    return any(hint in alike for hint in _SECRET_HINTS)


KINDS: tuple[Kind, ...] = (
    Kind("secret", 15, _may_hold_secret, find_secrets),
    Kind("email", 6, lambda seen: b"@" in seen[0], find_emails),
    Kind("iban", 15, lambda seen: b"AA00" in seen[1], find_ibans),
    Kind("card", 13, lambda seen: b"0" * 13 in seen[2], find_cards),
    Kind("national_id", 9, _may_hold_national_id, find_national_ids),
    Kind("phone", 8, lambda seen: b"0" * 8 in seen[2], find_phones),
    Kind("ip", 6, _may_hold_address, find_addresses),
)
"""In the order in which they are applied: what is surest first, so a card is not taken for a phone number."""


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


def _passes_luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) << (place & 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0 and len(set(digits)) > 1


def _passes_fiscal(code: str) -> bool:
    total = 0
    for place, letter in enumerate(code[:15]):
        value = int(letter) if letter.isdigit() else ord(letter) - 65
        total += value if place % 2 else _FISCAL_ODD[value]
    return chr(65 + total % 26) == code[15]


def _passes_cpf(text: str) -> bool:
    digits = [int(one) for one in text if one.isdigit()]
    for length in (9, 10):
        rest = sum(value * (length + 1 - place) for place, value in enumerate(digits[:length])) * 10 % 11 % 10
        if rest != digits[length]:
            return False
    return len(set(digits)) > 1
