"""What spans of any vocabulary, or none, may say: session, user, and plain input and output."""

from __future__ import annotations

from collector.dialects.reading import Dialect, Reading, first_text
from collector.otlp.spans import RawSpan

SESSION = ("session.id",)
USER = ("user.id", "enduser.id", "enduser.pseudo.id")


def detect(_: RawSpan) -> bool:
    """Return true: every span may carry these."""
    return True


def read(span: RawSpan) -> Reading:
    """Return session and user, from the span or else from its resource."""
    return Reading(
        session_id=first_text(span.attributes, SESSION) or first_text(span.resource, SESSION),
        user_id=first_text(span.attributes, USER) or first_text(span.resource, USER),
    )


DIALECT = Dialect("generic", detect, read)
