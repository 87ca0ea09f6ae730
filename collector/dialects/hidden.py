"""The marks clients put where they hide text: they are never text themselves.

Sources: OpenInference (``__REDACTED__``), Logfire's scrubber (``[Scrubbed due to …]``), Langfuse's fallback when a
mask function fails, LiteLLM with ``turn_off_message_logging``, Google's ADK without content capture, and the marks that
the documentation of masking hooks proposes.
"""

from __future__ import annotations

_MARKS = frozenset(
    {
        "__redacted__",
        "<redacted>",
        "[redacted]",
        "<masked>",
        "[masked]",
        "[filtered]",
        "<fully masked due to failed mask function>",
        "<elided>",
        "redacted-by-litellm",
    }
)
_BEGINNINGS = ("_", "<", "[", "*", "redacted-by-")
_LONGEST = 256
_FEWEST_STARS = 3


def is_hidden(text: str) -> bool:
    """Return whether ``text`` is, as a whole, a mark that stands for hidden text."""
    if len(text) > _LONGEST or not text.startswith(_BEGINNINGS):
        return False
    text = text.rstrip()
    if text.lower() in _MARKS or (text.startswith("[Scrubbed due to ") and text.endswith("]")):
        return True
    return len(text) >= _FEWEST_STARS and not text.strip("*")
