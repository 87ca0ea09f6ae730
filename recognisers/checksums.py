"""Check digits: what tells a real number from one that only has its length.

Every function takes a text of the right length and characters and returns whether its check digits fit. Sources:
ISO/IEC 7812 (Luhn), ISO 7064 (mod 97-10, mod 11-10), Verhoeff 1969, and what each country publishes of its numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

_VERHOEFF_TIMES: Final = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_VERHOEFF_MOVES: Final = (
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip
_FISCAL_ODD: Final = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_DNI_LETTERS: Final = "TRWAGMYFPDXBNJZSQVHLCKE"
_HETU_LETTERS: Final = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_CURP_LETTERS: Final = "0123456789ABCDEFGHIJKLMN\u00d1OPQRSTUVWXYZ"
_PPS_LETTERS: Final = "WABCDEFGHIJKLMNOPQRSTUV"
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_GENERATORS: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def only_digits(text: str) -> str:
    """Return the ASCII digits of ``text``."""
    return "".join(one for one in text if "0" <= one <= "9")


def weighted_sum(digits: str, weights: Sequence[int]) -> int:
    """Return the sum of digits times weights, over the shorter of both."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def passes_luhn(digits: str) -> bool:
    """Luhn's check digit; a row of one digit never passes."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) << (place & 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0 and len(set(digits)) > 1


def passes_mod97(characters: str) -> bool:
    """ISO 7064 mod 97-10 as IBANs use it: the first four characters go to the end, letters become 10 to 35."""
    return int("".join(str(int(one, 36)) for one in characters[4:] + characters[:4])) % 97 == 1


def passes_verhoeff(digits: str) -> bool:
    """Verhoeff's check digit, as in India's Aadhaar."""
    check = "0"
    for place, digit in enumerate(reversed(digits)):
        check = _VERHOEFF_TIMES[int(check)][int(_VERHOEFF_MOVES[place % 8][int(digit)])]
    return check == "0"


def passes_mod11_10(digits: str) -> bool:
    """ISO 7064 mod 11,10, as in Germany's tax number and Croatia's OIB."""
    rest = 10
    for digit in digits[:-1]:
        total = (rest + int(digit)) % 10 or 10
        rest = total * 2 % 11
    return (11 - rest) % 10 == int(digits[-1])


def passes_dni(number: str, letter: str) -> bool:
    """Spain's DNI and NIE: the number modulo 23 gives the letter; X, Y, Z stand for 0, 1, 2."""
    return _DNI_LETTERS[int(number.translate(str.maketrans("XYZ", "012"))) % 23] == letter


def passes_fiscal_code(code: str) -> bool:
    """Italy's codice fiscale: 16 characters, the last by the odd and even places of the others."""
    total = 0
    for place, letter in enumerate(code[:15]):
        value = int(letter) if letter.isdigit() else ord(letter) - 65
        total += value if place % 2 else _FISCAL_ODD[value]
    return chr(65 + total % 26) == code[15]


def passes_nir(number: str, key: str) -> bool:
    """France's NIR: 97 less the number modulo 97 is the key."""
    return 97 - int(number) % 97 == int(key)


def passes_cpf(digits: str) -> bool:
    """Brazil's CPF: two check digits modulo 11."""
    for length in (9, 10):
        rest = weighted_sum(digits, range(length + 1, 1, -1)[:length]) * 10 % 11 % 10
        if rest != int(digits[length]):
            return False
    return len(set(digits)) > 1


def passes_curp(code: str) -> bool:
    """Mexico's CURP: 17 characters with falling weights modulo 10 give the last one; an N with a tilde is a letter."""
    total = sum(_CURP_LETTERS.index(letter) * (18 - place) for place, letter in enumerate(code[:17]))
    return (10 - total % 10) % 10 == int(code[17])


def passes_pesel(digits: str) -> bool:
    """Poland's PESEL: weights 1, 3, 7, 9 over eleven digits, and a date of birth."""
    month = int(digits[2:4]) % 20
    fits = weighted_sum(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0
    return fits and 1 <= month <= 12 and 1 <= int(digits[4:6]) <= 31


def passes_bsn(digits: str) -> bool:
    """The Netherlands' BSN: the eleven test over nine digits."""
    return weighted_sum(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0 and int(digits) > 0


def passes_tax_id(digits: str) -> bool:
    """Germany's tax number: eleven digits, ISO 7064, and one or two digits repeated in the first ten."""
    counts = [digits[:10].count(one) for one in set(digits[:10])]
    return digits[0] != "0" and max(counts) in {2, 3} and passes_mod11_10(digits)


def passes_nhs(digits: str) -> bool:
    """The United Kingdom's NHS number: modulo 11 over ten digits."""
    check = 11 - weighted_sum(digits, range(10, 1, -1)) % 11
    return check != 10 and check % 11 == int(digits[9]) and len(set(digits)) > 1


def passes_tfn(digits: str) -> bool:
    """Australia's tax file number of nine digits, modulo 11."""
    return weighted_sum(digits, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0 and int(digits) > 0


def passes_hetu(day_to_year: str, number: str, letter: str) -> bool:
    """Finland's personal code: date and number modulo 31 give the letter."""
    return _HETU_LETTERS[int(day_to_year + number) % 31] == letter


def passes_birth_number(digits: str) -> bool:
    """The Czech and Slovak birth number of ten digits: divisible by eleven, and a month that is one."""
    month = int(digits[2:4])
    rest = int(digits[:9]) % 11 % 10
    return rest == int(digits[9]) and any(1 <= month - offset <= 12 for offset in (0, 20, 50, 70))


def passes_ahv(digits: str) -> bool:
    """Switzerland's AHV number: thirteen digits with the check digit of EAN-13."""
    return weighted_sum(digits, (1, 3) * 6 + (1,)) % 10 == 0


def passes_rut(number: str, check: str) -> bool:
    """Chile's RUT: modulo 11 with weights 2 to 7 from the right; K stands for 10."""
    total = sum(int(digit) * (2 + place % 6) for place, digit in enumerate(reversed(number)))
    rest = 11 - total % 11
    return check.upper() == ("0" if rest == 11 else "K" if rest == 10 else str(rest))


def passes_belgian(digits: str) -> bool:
    """Belgium's national number: 97 less the first nine digits modulo 97; those born since 2000 with a 2 before."""
    number, key = digits[:9], int(digits[9:])
    return key in {97 - int(number) % 97, 97 - int("2" + number) % 97}


def passes_cnp(digits: str) -> bool:
    """Romania's CNP: modulo 11 over thirteen digits, and a date of birth."""
    rest = weighted_sum(digits, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    fits = (1 if rest == 10 else rest) == int(digits[12])
    return fits and digits[0] != "0" and 1 <= int(digits[3:5]) <= 12 and 1 <= int(digits[5:7]) <= 31


def passes_egn(digits: str) -> bool:
    """Bulgaria's EGN: modulo 11 over ten digits, and a date of birth."""
    month = int(digits[2:4])
    fits = weighted_sum(digits, (2, 4, 8, 5, 10, 9, 7, 3, 6)) % 11 % 10 == int(digits[9])
    return fits and any(1 <= month - offset <= 12 for offset in (0, 20, 40)) and 1 <= int(digits[4:6]) <= 31


def passes_norwegian(digits: str) -> bool:
    """Norway's fødselsnummer: two check digits modulo 11 over eleven digits, and a date of birth."""
    first = weighted_sum(digits, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11 == 0
    second = weighted_sum(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0
    return first and second and 1 <= int(digits[:2]) % 40 <= 31 and 1 <= int(digits[2:4]) % 40 <= 12


def passes_nif(digits: str) -> bool:
    """Portugal's NIF: modulo 11 over nine digits."""
    check = 11 - weighted_sum(digits, range(9, 1, -1)) % 11
    return (0 if check > 9 else check) == int(digits[8]) and digits[0] in "1235689"


def passes_svnr(digits: str) -> bool:
    """Austria's social insurance number: ten digits, the fourth a check digit modulo 11, then a date of birth."""
    check = weighted_sum(digits[:3] + digits[4:], (3, 7, 9, 5, 8, 4, 2, 1, 6)) % 11
    return check == int(digits[3]) and 1 <= int(digits[4:6]) <= 31 and digits[0] != "0"


def passes_pps(digits: str, letters: str) -> bool:
    """Ireland's PPS number: seven digits modulo 23, with the second letter where there is one."""
    second = letters[1:].upper()
    extra = 9 * (0 if second in ("", "W") else ord(second) - 64)
    return _PPS_LETTERS[(weighted_sum(digits, range(8, 1, -1)) + extra) % 23] == letters[0].upper()


def passes_routing(digits: str) -> bool:
    """A bank's routing number in the United States: weights 3, 7, 1 over nine digits, and a district."""
    district = int(digits[:2])
    known = district <= 12 or 21 <= district <= 32 or 61 <= district <= 72 or district == 80
    return known and int(digits) > 0 and weighted_sum(digits, (3, 7, 1) * 3) % 10 == 0


def passes_base58(address: str) -> bool:
    """A Base58Check address: 25 bytes whose last four begin the doubled SHA-256 of the others."""
    number = 0
    for letter in address:
        number = number * 58 + _BASE58.index(letter)
    if number.bit_length() > 200:
        return False
    whole = number.to_bytes(25, "big")
    return hashlib.sha256(hashlib.sha256(whole[:21]).digest()).digest()[:4] == whole[21:]


def passes_bech32(address: str) -> bool:
    """A segwit address (BIP 173 and 350): ``bc1`` and a polymod of 1 or 0x2bc830a3 over the rest."""
    checksum = 1
    for value in (3, 3, 0, 2, 3, *(_BECH32.index(letter) for letter in address[3:].lower())):
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate(_BECH32_GENERATORS):
            checksum ^= generator if top >> place & 1 else 0
    return checksum in {1, 0x2BC830A3}
