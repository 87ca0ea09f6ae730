"""What spans of any vocabulary, or none, may say: whose they are and to which session they belong.

Spans that say nothing of the kind, and no other vocabulary, are ``generic`` all the same; what their resource says
of user and session is read by ``normalise``.
"""

from __future__ import annotations

from collector.dialects.reading import Dialect, Reading, Shape, first_text
from collector.otlp.spans import RawSpan

SESSION = ("session.id",)
USER = ("user.id", "enduser.id", "enduser.pseudo.id")

_MARKS = frozenset({*SESSION, *USER})


def detect(shape: Shape) -> bool:
    """Return whether the span names a session or a user."""
    return not shape.keys.isdisjoint(_MARKS)


def read(span: RawSpan) -> Reading:
    """Return session and user."""
    return Reading(session_id=first_text(span.attributes, SESSION), user_id=first_text(span.attributes, USER))


DIALECT = Dialect("generic", detect, read)
