"""API keys as text: ``cst_<role>_<id>_<secret>_<checksum>``.

The role is three letters, the id eight characters, the secret 256 random bits as 43 base-62 digits, and the
checksum the CRC-32 of everything before it as six base-62 digits. The checksum makes a mistyped or cut-off key
recognisable without a database, and lets secret scanners match keys without false alarms; it protects nothing else.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass

from collector.auth.roles import ROLE_ABBREVIATIONS, Role
from custodes.kernel.errors import AuthenticationError

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_LETTERS = string.digits + string.ascii_lowercase
_ID_LENGTH = 8
_SECRET_LENGTH = 43
_CHECKSUM_LENGTH = 6
_ROLES: dict[str, Role] = {short: role for role, short in ROLE_ABBREVIATIONS.items()}
_KEY = re.compile(
    rf"cst_({'|'.join(_ROLES)})_([0-9a-z]{{{_ID_LENGTH}}})_([0-9A-Za-z]{{{_SECRET_LENGTH}}})_([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class KeyText:
    """A well-formed key. ``hash`` is what may be stored; the text itself is shown once and kept nowhere."""

    id: str
    role: Role
    hash: bytes


def generate_key(role: Role) -> str:
    """Return the text of a fresh key for ``role`` with 256 bits of secret."""
    key_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
    head = f"cst_{ROLE_ABBREVIATIONS[role]}_{key_id}_{_to_base62(secrets.randbits(256), _SECRET_LENGTH)}"
    return f"{head}_{_checksum(head)}"


def parse_key(text: str) -> KeyText:
    """Return the parts of a key whose form and checksum are right.

    Raises ``AuthenticationError`` for anything else. The message never quotes the text.
    """
    match = _KEY.fullmatch(text)
    if match is None:
        raise AuthenticationError(
            "this is not a Custodes key; keys look like cst_<role>_<id>_<secret>_<checksum>, "
            "create one with: custodes key create --project P --role ROLE"
        )
    if _checksum(text.rpartition("_")[0]) != match[4]:
        raise AuthenticationError("the key's checksum is wrong; it was mistyped or cut off, copy it again")
    return KeyText(match[2], _ROLES[match[1]], hash_key(text))


def hash_key(text: str) -> bytes:
    """Return the 32 bytes stored for a key: SHA-256, which is enough for 256 random bits."""
    return hashlib.sha256(text.encode()).digest()


def _checksum(head: str) -> str:
    return _to_base62(zlib.crc32(head.encode()), _CHECKSUM_LENGTH)


def _to_base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
