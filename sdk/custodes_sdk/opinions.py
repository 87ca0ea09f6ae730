"""What people say about answers, queued and sent in the background."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from custodes_sdk.sending.http import HttpWay
from custodes_sdk.sending.outbox import Bounds, Outbox
from custodes_sdk.sending.outcome import Outcome
from custodes_sdk.sending.quiet import QuietLog
from custodes_sdk.state import running

PATH = "/api/v1/feedback"
MAX_LABEL_CHARACTERS = 64
MAX_COMMENT_CHARACTERS = 10_000
_BOUNDS = Bounds(units=2_000, batch=1, delay_s=0.05)
_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_SPAN_ID = re.compile(r"(?!0{16})[0-9a-f]{16}")


class OpinionBox:
    """Sends one opinion at a time; each has an id, so that one which is sent twice is stored once."""

    def __init__(self, endpoint: str, key: str | None, log: QuietLog) -> None:
        self._way = HttpWay(endpoint, key)
        self.log = log
        self.outbox: Outbox[bytes] = Outbox(
            self._deliver,
            name="feedback",
            bounds=_BOUNDS,
            log=log,
            after_fork=self._way.forget,
            at_end=self._way.close,
        )

    def _deliver(self, bodies: Sequence[bytes]) -> Outcome:
        return self._way.post(PATH, bodies[0], "application/json")


def feedback(
    trace_id: str | None,
    label: str | None = None,
    comment: str | None = None,
    value: float | None = None,
    *,
    span_id: str | None = None,
    user: str | None = None,
    source: str | None = None,
) -> None:
    """Tell Custodes what somebody thinks of an answer; needs :func:`custodes_sdk.init` before. Never raises.

    ``trace_id`` is what :func:`custodes_sdk.current_trace_id` or a ``context`` gave. ``label`` is a short word such as
    ``wrong``, ``value`` a number such as a rating, ``comment`` free text, which is kept and shown like captured text.
    ``user`` is who says it, ``source`` where it was said. What cannot be sent is left out with a warning.
    """
    now = running()
    if now is None:
        return
    try:
        body = _to_json(trace_id, label, comment, value, span_id, user, source)
        if body is None:
            now.opinions.log.caution("feedback needs a trace id of 32 hex digits, and a label, a comment or a value")
            return
        now.opinions.outbox.put(body, len(body))
    except Exception as error:  # The host's request matters more than an opinion about it.
        now.opinions.log.caution("cannot send feedback: %s", type(error).__name__)


def _to_json(
    trace_id: str | None,
    label: str | None,
    comment: str | None,
    value: float | None,
    span_id: str | None,
    user: str | None,
    source: str | None,
) -> bytes | None:
    """Return the request's body; ``None`` when there is nothing to say or nothing to say it about."""
    trace = str(trace_id or "").lower()
    if not _TRACE_ID.fullmatch(trace) or (label is None and comment is None and value is None):
        return None
    span = str(span_id or "").lower()
    fields = {
        "id": str(uuid.uuid4()),
        "trace_id": trace,
        "span_id": span if _SPAN_ID.fullmatch(span) else None,
        "label": None if label is None else str(label)[:MAX_LABEL_CHARACTERS],
        "comment": None if comment is None else str(comment)[:MAX_COMMENT_CHARACTERS],
        "value": None if value is None else float(value),
        "user": None if user is None else str(user)[:256],
        "source": None if source is None else str(source)[:MAX_LABEL_CHARACTERS],
        "at": datetime.fromtimestamp(time.time(), UTC).isoformat().replace("+00:00", "Z"),
    }
    return json.dumps({name: one for name, one in fields.items() if one is not None}, allow_nan=False).encode()
