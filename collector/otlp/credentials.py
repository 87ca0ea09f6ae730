"""Whether bytes can hold a credential at all: a look so cheap that every span gets it.

``collector.dialects.redact`` decides what is one, by regular expressions that all contain one of these words.
"""

from __future__ import annotations

HINTS = ("bearer", "basic", "sk-", 'authorization"')
"""In lower case; every text that is redacted contains one, whatever the case of its ASCII letters."""

_BEARER, _BASIC, _KEY, _AUTHORIZATION = (hint.encode() for hint in HINTS)


def mentions_credentials(encoded: bytes) -> bool:
    """Return whether any of :data:`HINTS` stands in ``encoded``, which is UTF-8 text or holds some."""
    lowered = encoded.lower()
    return _BEARER in lowered or _BASIC in lowered or _KEY in lowered or _AUTHORIZATION in lowered
