"""The console's addresses: which pages exist, and which deep links may be followed."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

# url_path of every page; "" is the overview.
PAGE_PATHS = frozenset(
    {"", "traces", "trace", "incidents", "incident", "actions", "action", "fairness", "drift", "endpoints", "audit"}
)

_LONGEST_TARGET = 512


def followable(target: str) -> str | None:
    """Return ``target`` in canonical form when it leads to a page of this console, else None.

    Accepted are absolute paths of registered pages with an optional query, at most 512 characters. Another
    host, a scheme, a backslash or a control character is refused, so the link can't leave the console.
    """
    if not 0 < len(target) <= _LONGEST_TARGET or not target.startswith("/") or target.startswith("//"):
        return None
    if "\\" in target or any(ord(character) < 0x21 or ord(character) == 0x7F for character in target):
        return None
    try:
        parts = urlsplit(target)
        fields = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return None
    path = parts.path[1:]
    if parts.scheme or parts.netloc or path not in PAGE_PATHS:
        return None
    return f"/{path}?{urlencode(fields)}" if fields else f"/{path}"
