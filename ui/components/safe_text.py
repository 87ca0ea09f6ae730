"""The only way captured text reaches the screen: as plain text, with nothing in it left invisible."""

from __future__ import annotations

import json
import re
import unicodedata

import streamlit as st

from ui.figures import plural

_LONGEST_TEXT = 20_000
_LONGEST_LABEL = 80
# What Streamlit turns into a link (addresses) or into another character (arrows, comparison signs, dashes).
_REWRITTEN = re.compile(r"@|\bwww|\b(?:https?|mailto|xmpp|ftp):|[<>~](?==)|<(?=-)|-(?=[->])", re.IGNORECASE)
_JOINERS = frozenset("\u200d\ufe0f")
_MARKDOWN = frozenset("\\`*_{}[]()<>#+-.!|~:$&")


def safe_text(value: object, *, lang: str | None = None) -> None:
    """Show captured text as a plain block: no Markdown, no HTML, no links, no images.

    Invisible and direction-changing characters are shown as ``<U+202E>`` and counted. Text beyond 20,000
    characters is cut, and the cut is stated. ``lang`` colours code we know the language of.
    """
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, default=str)
    shown, hidden = show_hidden(text[:_LONGEST_TEXT])
    if hidden:
        st.badge(f"contains {plural(hidden, 'hidden character')}", icon=":material/visibility_off:", color="orange")
    if not text:
        st.caption("Empty text.")
        return
    st.code(shown, language=lang, wrap_lines=True)
    if len(text) > _LONGEST_TEXT:
        st.caption(f"The first {_LONGEST_TEXT:,} of {len(text):,} characters are shown.")


def show_hidden(text: str) -> tuple[str, int]:
    """Return ``text`` with every invisible character spelled out, and how many there were.

    Invisible means control and format characters (bidi overrides, zero-width, tags) and variation selectors, except
    line breaks, tabs, and the joiners that follow a symbol, which emoji are made of.
    """
    shown: list[str] = []
    hidden = 0
    previous = ""
    for character in text:
        if _is_hidden(character, previous):
            shown.append(f"<U+{ord(character):04X}>")
            hidden += 1
        else:
            shown.append(character)
        previous = character
    return "".join(shown), hidden


def md_escape(text: str, *, limit: int = _LONGEST_LABEL) -> str:
    """Return a name from data for use in a label: one line, cut at ``limit``, Markdown inert, nothing hidden."""
    shown, _ = show_hidden(" ".join(text.split()))
    if len(shown) > limit:
        shown = shown[: limit - 1] + "…"
    # A backslash does not stop these rewritings, an invisible joiner between their characters does.
    apart = _REWRITTEN.sub(lambda match: f"{match[0]}\u2060", shown)
    return "".join(f"\\{character}" if character in _MARKDOWN else character for character in apart)


def _is_hidden(character: str, previous: str) -> bool:
    if character in "\n\t":
        return False
    if character in _JOINERS and previous and unicodedata.category(previous) in ("So", "Sk", "Mn"):
        return False
    code = ord(character)
    is_selector = 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF
    blank_letters = code in (0x115F, 0x1160, 0x3164, 0xFFA0, 0x2800)
    return is_selector or blank_letters or unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
