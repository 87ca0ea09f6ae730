"""Where somebody can be reached or told apart on a network: mail, telephone, IP and hardware addresses."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from recognisers.recogniser import Found, Recogniser, starting_with

_DOMAIN: Final = re.compile(r"@((?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}([^\W\d_]{2,24}))(?![\w@-]|:[\w~/])")
_LOCAL: Final = re.compile(r"[\w.%+'-]{1,64}\Z")
_FILES: Final = frozenset(
    ["avif", "bmp", "css", "gif", "htm", "html", "ico", "jpeg", "jpg", "js", "json", "jsx", "mjs", "mp4", "pdf", "png",
     "py", "svg", "ts", "tsx", "webp"]
)  # fmt: skip

_END: Final = r"(?![\w@]|[.-][0-9])"
_INTERNATIONAL: Final = re.compile(
    r"\+(?<=(?:(?<![\w.@/+-])|(?<=\\[nrt])|(?<=tel:))\+)[1-9](?:[ .()/-]{0,2}[0-9]){7,14}" + _END
)
_DIGIT: Final = r"[0-9](?<=(?:(?<![\w.@/+(-])|(?<=\\[nrt])|(?<=tel:))[0-9])(?<![0-9] [0-9])"
_BRACKET: Final = r"\((?<=(?:(?<![\w.@/+-])|(?<=\\[nrt])|(?<=tel:))\()(?<![0-9] \()"
_DIALLED: Final = re.compile(
    _DIGIT + r"(?:"
    r"(?<=0)0[1-9][0-9]{0,2}[ /-](?:[ ()/-]{0,2}[0-9]){6,12}"  # the European international prefix
    r"|(?<=1)[ .-](?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[.-])[2-9][0-9]{2}[ .-][0-9]{4}"  # North America
    r"|(?<=[2-9])[0-9]{2}[.-][2-9][0-9]{2}[ .-][0-9]{4}"
    r"|(?<=0)[1-9][0-9]{1,4}[ /-][0-9]{3,4}(?:[ -]?[0-9]{2,4}){1,2}"  # with a trunk prefix, as in Europe
    r")" + _END
)
_BRACKETED: Final = re.compile(
    _BRACKET + r"(?:[2-9][0-9]{2}\) ?[2-9][0-9]{2}[ .-][0-9]{4}"
    r"|0[1-9][0-9]{1,4}\)[ /-][0-9]{3,4}(?:[ -]?[0-9]{2,4}){1,2})" + _END
)

_IPV4: Final = re.compile(starting_with("[0-9]") + r"[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![\w@-]|\.[0-9])")
_IPV6: Final = re.compile(
    r"[0-9A-Fa-f](?<=(?:(?<![\w:.])|(?<=\\[nrt]))[0-9A-Fa-f])[0-9A-Fa-f]{0,3}(?::{1,2}[0-9A-Fa-f]{1,4}){2,7}(?![\w:])"
)
_VERSION: Final = re.compile(r"(?:\bv|\bver(?:sion)?|\brelease|\bbuild)[ .:=\"']{0,4}\Z", re.IGNORECASE)
_MAC: Final = re.compile(
    r"[0-9A-Fa-f](?<=(?:(?<![\w:.-])|(?<=\\[nrt]))[0-9A-Fa-f])[0-9A-Fa-f](?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5})"
    r"(?![\w:.-])"
)


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


def find_phones(text: str) -> Found:
    """Phone numbers written internationally, with a trunk prefix, or the North American way."""
    yield from sorted(
        match.span() for pattern in (_INTERNATIONAL, _DIALLED, _BRACKETED) for match in pattern.finditer(text)
    )


def find_ipv4(text: str) -> Found:
    """IPv4 addresses; not versions of four parts, and not loopback or unspecified addresses."""
    for match in _IPV4.finditer(text):
        before = text[max(0, match.start() - 12) : match.start()]
        if not _VERSION.search(before) and _is_address(match[0]):
            yield match.span()


def find_ipv6(text: str) -> Found:
    """IPv6 addresses; not loopback or unspecified ones."""
    for match in _IPV6.finditer(text):
        if match[0].count(":") > 2 and any(one.isdigit() for one in match[0]) and _is_address(match[0]):
            yield match.span()


def find_macs(text: str) -> Found:
    """Hardware addresses of six bytes that are assigned to one device; not broadcast, zero or multicast ones."""
    for match in _MAC.finditer(text):
        digits = match[0].replace("-", ":").lower()
        if not int(digits[:2], 16) & 1 and digits != "00:00:00:00:00:00":
            yield match.span()


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


_PHONE_HINT: Final = (
    r"\+[1-9](?:[ .()/-]{0,2}[0-9]){7}|00[1-9][0-9]{0,2}[ /-]|[2-9][0-9]{2}[ .-][0-9]{4}"
    r"|0[1-9][0-9]{1,4}\)?[ /-][0-9]{3}"
)

CONTACTS: Final = (
    Recogniser("email", "email", 6, r"[^\s@]@[^\s@]+\.[^\s@]", find_emails),
    Recogniser("mac", "mac_address", 17, r"[0-9A-Fa-f]{2}(?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5})", find_macs),
    Recogniser("phone", "phone", 8, _PHONE_HINT, find_phones, "six_digits"),
    Recogniser("ipv4", "ip", 7, r"[0-9](?:\.[0-9]{1,3}){3}", find_ipv4),
    Recogniser("ipv6", "ip", 6, r"[0-9A-Fa-f]:(?:[0-9A-Fa-f]{0,4}:){2}[0-9A-Fa-f]", find_ipv6),
)
