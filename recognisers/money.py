"""Where money lies: payment cards, bank accounts and wallets, each by what its issuer checks it by."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final

from recognisers.checksums import passes_base58, passes_bech32, passes_luhn, passes_mod97
from recognisers.recogniser import HINT_START, Found, Recogniser, starting_with

_CARD: Final = re.compile(starting_with("[0-9]") + r"(?:[ -]?[0-9]){12,18}")
_CARD_STARTS: Final = re.compile(
    r"(?:4[0-9]{12}(?:[0-9]{3}){0,2}|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"
    r"|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|6(?:011|4[4-9][0-9]|5[0-9]{2})[0-9]{12,15}"
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12,15}|62[0-9]{14,17})\Z"
)

_IBAN: Final = re.compile(r"[A-Z](?<=(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))[A-Z])[A-Z][0-9]{2}(?= ?[A-Z0-9]{4})")
# ISO 13616: how many characters an account number of each country has.
_IBAN_COUNTRIES: Final = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 "
    "FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 "
    "LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 "
    "SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
)
_IBAN_LENGTHS: Final = MappingProxyType({pair[:2]: int(pair[2:]) for pair in _IBAN_COUNTRIES.split()})

_BITCOIN: Final = re.compile(r"[13](?<=(?<![\w.@/+=-])[13])[1-9A-HJ-NP-Za-km-z]{25,34}(?![\w/+=])")
_SEGWIT: Final = re.compile(r"bc1(?<=(?<![\w.@/-])bc1)[02-9ac-hj-np-z]{36,71}(?!\w)", re.IGNORECASE)
_ETHEREUM: Final = re.compile(r"0x(?<=(?<![\w.@/-])0x)[0-9A-Fa-f]{40}(?!\w)")


def find_cards(text: str) -> Found:
    """Payment cards: a known issuer's prefix and length, and Luhn's check digit (ISO/IEC 7812)."""
    for match in _CARD.finditer(text):
        for end in range(match.end(), match.start() + 12, -1):
            if text[end - 1] in " -" or text[end : end + 1].isalnum():
                continue
            digits = text[match.start() : end].replace(" ", "").replace("-", "")
            if _CARD_STARTS.match(digits) and passes_luhn(digits):
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
        if whole and passes_mod97(characters):
            yield match.start(), place


def find_bitcoin(text: str) -> Found:
    """Bitcoin addresses of both old forms, by the checksum of Base58Check, and segwit ones by that of Bech32."""
    old = [match.span() for match in _BITCOIN.finditer(text) if passes_base58(match[0])]
    new = [match.span() for match in _SEGWIT.finditer(text) if _is_segwit(match[0])]
    yield from sorted(old + new)


def find_ethereum(text: str) -> Found:
    """Ethereum addresses: ``0x`` and 40 hexadecimal digits, not all alike."""
    for match in _ETHEREUM.finditer(text):
        if len(set(match[0][2:].lower())) > 4:
            yield match.span()


def _is_segwit(address: str) -> bool:
    return (address.islower() or address.isupper()) and passes_bech32(address)


MONEY: Final = (
    Recogniser("iban", "iban", 15, r"[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4}", find_ibans),
    Recogniser("card", "card", 13, HINT_START + "[2-6](?:[ -]?[0-9]){12}", find_cards, "six_digits"),
    Recogniser("bitcoin", "crypto_wallet", 26, r"[1-9A-HJ-NP-Za-km-z]{26}|(?i:bc1[02-9ac-hj-np-z]{8})", find_bitcoin),
    Recogniser("ethereum", "crypto_wallet", 42, "0x[0-9A-Fa-f]{8}", find_ethereum),
)
