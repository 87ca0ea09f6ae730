"""The process that scores: loads a profile, answers requests over one connection, and ends when that closes.

Started by ``detectors.isolation.child``, never by hand. It may be killed at any moment and holds nothing that is not
also elsewhere. Records of its loggers travel to the parent, which writes them with its own.
"""

from __future__ import annotations

import faulthandler
import logging
import mmap
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, Final, Protocol

from detectors.errors import DetectorError
from detectors.isolation.messages import Answer, Loader, Ready, Refused, Request, Start
from detectors.model import DetectorIdentity, Exchange, ExchangeScores
from detectors.progress import PROGRESS_BYTES, Buffer, Progress

_LOG = logging.getLogger(__name__)

# Should the parent die while this process hangs, nobody is left to end it; it then ends itself.
_ORPHAN_FACTOR: Final = 4
_REARM_S: Final = 5.0


class IsolatableProfile(Protocol):
    """What a profile needs so that it can live in a process of its own."""

    name: str
    device: str
    progress: Progress

    def metrics(self) -> tuple[str, ...]: ...

    def traits(self) -> tuple[str, ...]: ...

    def identities(self) -> tuple[DetectorIdentity, ...]: ...

    def stages(self) -> tuple[str, ...]: ...

    def warm_up(self) -> None: ...

    def score(
        self, exchanges: Sequence[Exchange], leave_out: Mapping[int, Mapping[int, str]]
    ) -> list[ExchangeScores]: ...


def serve(connection_fd: int, progress_fd: int, trace_fd: int) -> None:
    """Load what the first message says, then answer requests until the connection ends.

    Where the process hangs is written to ``trace_fd`` on SIGABRT: files, lines and function names, no values.
    """
    # A dump of memory would hold captured text.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable(trace_fd, all_threads=True)
    connection = Connection(connection_fd)
    sender = _Sender(connection)
    root = logging.getLogger()
    root.addHandler(_Forwarder(sender))
    try:
        start: Start = connection.recv()
        root.setLevel(start.log_level)
        if start.offline:
            sys.addaudithook(refuse_connections)
        guard = _Guard(progress_fd, trace_fd, start.limit_s * _ORPHAN_FACTOR)
        profile, ready = _load(start.loader, guard)
    except DetectorError as error:
        sender.send(Refused(str(error), expected=True))
        return
    except Exception as error:
        _LOG.exception("the detectors could not be loaded")
        sender.send(Refused(f"{type(error).__name__}: {error}", expected=False))
        return
    sender.send(ready)
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        sender.send(_answer(profile, request))


def refuse_connections(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse every connection and every look-up of a name, as a hook of ``sys.addaudithook``.

    Setting a library's own switches is a request; this is what answers the library that does not honour it, and the
    plug-in that never heard of it. Sockets of the file system stay open: nothing leaves the machine by them.
    """
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        raise ConnectionRefusedError("scoring is offline: no name is looked up")
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg") and arguments[0].family != socket.AF_UNIX:
        raise ConnectionRefusedError("scoring is offline: no connection is made")


def _load(loader: Loader, guard: _Guard) -> tuple[IsolatableProfile, Ready]:
    profile: IsolatableProfile = loader.load()
    profile.progress.attach(guard)
    profile.warm_up()
    faulthandler.cancel_dump_traceback_later()
    return profile, Ready(
        profile.name, profile.device, profile.metrics(), profile.traits(), profile.identities(), profile.stages()
    )


def _answer(profile: IsolatableProfile, request: Request) -> Answer | Refused:
    try:
        return Answer(profile.score(request.exchanges, request.leave_out))
    except Exception as error:
        # The error's text may quote what it choked on; its traceback quotes our code only.
        _LOG.error("scoring failed as a whole", exc_info=error)
        return Refused(type(error).__name__, expected=False)
    finally:
        faulthandler.cancel_dump_traceback_later()


class _Sender:
    """Sends whole messages from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, message: Any) -> None:
        with self._lock:
            self._connection.send(message)


class _Forwarder(logging.Handler):
    """Sends log records to the parent, made safe to pickle."""

    def __init__(self, sender: _Sender) -> None:
        super().__init__()
        self._sender = sender

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if record.exc_info is not None and record.exc_info[1] is not None:
                # As formatted text, without the message of the error.
                record.exc_text = "".join(_frames(record.exc_info[1]))
                record.exc_info = None
            record.msg, record.args = record.getMessage(), None
            self._sender.send(record)
        except (OSError, ValueError, TypeError, AttributeError):
            self.handleError(record)


def _frames(error: BaseException) -> list[str]:
    lines = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        lines.append(f'  File "{code.co_filename}", line {trace.tb_lineno}, in {code.co_name}\n')
        trace = trace.tb_next
    return [*lines, type(error).__name__]


class _Guard:
    """The shared progress buffer; every sign of life also puts off the moment at which an orphan ends itself."""

    def __init__(self, progress_fd: int, trace_fd: int, limit_s: float) -> None:
        self._shared: Buffer = mmap.mmap(progress_fd, PROGRESS_BYTES)
        self._trace_fd = trace_fd
        self._limit_s = limit_s
        self._armed_s = -_REARM_S

    def __getitem__(self, place: slice) -> bytes | bytearray:
        return self._shared[place]

    def __setitem__(self, place: slice, value: bytes) -> None:
        self._shared[place] = value
        now = time.monotonic()
        if now - self._armed_s >= _REARM_S:
            self._armed_s = now
            faulthandler.dump_traceback_later(self._limit_s, exit=True, file=self._trace_fd)
