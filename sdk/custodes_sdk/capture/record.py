"""What is noted of one call while it passes: bytes and times, nothing parsed.

Reading JSON and writing telemetry happens later, on the thread of the outbox, so that streams are not held up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

CHAT = "/chat/completions"
COMPLETIONS = "/completions"
RESPONSES = "/responses"
EMBEDDINGS = "/embeddings"
_MARKS = 64
# All that is ever read of a request's head; what authorises a call is not even held in memory.
_KEPT_HEADERS = frozenset({b"traceparent", b"x-custodes-session", b"x-session-id", b"x-custodes-user", b"x-user-id"})

Headers = Iterable[tuple[bytes, bytes]]


def captured_path(method: str, path: str) -> str | None:
    """Return which of the captured calls a request is; ``None`` for everything else, which passes unseen."""
    if method != "POST":
        return None
    plain = path.rstrip("/")
    return next((end for end in (CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS) if plain.endswith(end)), None)


@dataclass(slots=True)
class BoundedBytes:
    """Bytes that arrive in pieces; of more than ``limit`` none are kept and ``overflowed`` says so."""

    limit: int
    overflowed: bool = False
    _pieces: list[bytes] = field(default_factory=list)
    _size: int = 0

    def add(self, piece: bytes) -> None:
        """Keep a piece, or drop everything once the limit is passed."""
        if self.overflowed:
            return
        self._size += len(piece)
        if self._size > self.limit:
            self.overflowed = True
            self._pieces.clear()
            self._size = 0
            return
        self._pieces.append(piece)

    def joined(self) -> bytes:
        """Return everything kept."""
        return b"".join(self._pieces)

    @property
    def size(self) -> int:
        """How many bytes are kept."""
        return self._size


@dataclass(slots=True)
class CallRecord:
    """One call, from its request line to its last byte. Times are unix nanoseconds.

    ``marks`` are (bytes before, time) of the first pieces of the response, from which the time to the first token is
    found. ``failure`` names what ended the call early, e.g. ``client_disconnected`` or ``connection_refused``.
    """

    kind: str
    path: str
    request_headers: tuple[tuple[bytes, bytes], ...]
    request: BoundedBytes
    response: BoundedBytes
    start_ns: int
    server_address: str = ""
    end_ns: int = 0
    status: int | None = None
    content_type: str = ""
    content_encoding: str = ""
    marks: list[tuple[int, int]] = field(default_factory=list)
    failure: str | None = None
    _seen: int = 0

    @classmethod
    def begin(
        cls,
        kind: str,
        path: str,
        headers: Headers,
        *,
        limit: int,
        server_address: str = "",
        now_ns: Callable[[], int] = time.time_ns,
    ) -> CallRecord:
        """Return a record of a call whose head has just arrived."""
        kept = tuple((name.lower(), value) for name, value in headers if name.lower() in _KEPT_HEADERS)
        return cls(kind, path, kept, BoundedBytes(limit), BoundedBytes(limit), now_ns(), server_address=server_address)

    def answer(self, status: int, headers: Headers) -> None:
        """Note the head of the response."""
        self.status = status
        for name, value in headers:
            lowered = name.lower()
            if lowered == b"content-type":
                self.content_type = value.decode("latin-1").partition(";")[0].strip().lower()
            elif lowered == b"content-encoding":
                self.content_encoding = value.decode("latin-1").strip().lower()

    def piece(self, body: bytes, now_ns: int) -> None:
        """Note a piece of the response body as it passes."""
        if not body:
            return
        if len(self.marks) < _MARKS:
            self.marks.append((self._seen, now_ns))
        self._seen += len(body)
        self.response.add(body)

    def finish(self, now_ns: int, failure: str | None = None) -> None:
        """Note the end of the call. ``failure`` says why it ended early."""
        self.end_ns = max(now_ns, self.start_ns)
        self.failure = self.failure or failure

    @property
    def size_bytes(self) -> int:
        """How much memory the record holds, roughly."""
        return self.request.size + self.response.size + 4096
