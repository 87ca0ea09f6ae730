"""The process that scores, as seen by the one that started it: asked, watched, and ended if it no longer moves."""

from __future__ import annotations

import dataclasses
import json
import logging
import mmap
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Pipe
from typing import Any, Final

from detectors.errors import ScoringProcessError
from detectors.isolation.messages import Answer, Ready, Refused, Request, Start
from detectors.model import DETECTOR_ERROR, DETECTOR_TIMEOUT
from detectors.progress import IDLE, PROGRESS_BYTES, READING_STAGE, Position, read_positions

_LOOK_S: Final = 0.2
_END_S: Final = 2.0
_MOST_FRAMES: Final = 5
_NOWHERE: Final = Position(IDLE, 0, 0)
_FRAME: Final = re.compile(r'File "(?:.*/)?([^/"]+)", line (\d+) in (\S+)')
_BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from detectors.isolation.process import serve; serve(*map(int, sys.argv[2:]))"
)


@dataclass(frozen=True, slots=True)
class Lost:
    """The child ended or was ended; ``stage`` and ``index`` say what it was at, if anything."""

    reason: str
    stage: int | None
    index: int | None


class Child:
    """One child process with its connection, its progress and the file that says where it hung."""

    def __init__(self, start: Start, environment: Mapping[str, str] | None) -> None:
        self.where = ""
        self._files = ExitStack()
        progress = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  # The stack closes it.
        progress.truncate(PROGRESS_BYTES)
        self._progress = self._files.enter_context(mmap.mmap(progress.fileno(), PROGRESS_BYTES))
        self._trace = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._connection, theirs = Pipe()
        handed = (theirs.fileno(), progress.fileno(), self._trace.fileno())
        command = [sys.executable, "-c", _BOOT, json.dumps(sys.path), *map(str, handed)]
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=handed,
                env=None if environment is None else dict(environment),
            )
        except OSError as error:
            self._files.close()
            raise ScoringProcessError(f"cannot start the scoring process: {error.strerror}") from error
        finally:
            theirs.close()
        level = logging.getLogger("detectors").getEffectiveLevel()
        self._send(dataclasses.replace(start, log_level=level))

    def ask_ready(self, limit_s: float) -> Ready | Refused | Lost:
        """Wait until the profile is loaded, refused, or the child is lost."""
        until = time.monotonic() + limit_s
        ready: Ready | Refused | Lost = self._wait(lambda: _NOWHERE if time.monotonic() > until else None)
        return ready

    def ask(self, request: Request, limit_s: float) -> Answer | Refused | Lost:
        """Send a request and wait for its answer for as long as the child moves."""
        self._send(request)
        watch = Watch(limit_s)
        answer: Answer | Refused | Lost = self._wait(
            lambda: watch.find_stuck(read_positions(self._progress), time.monotonic())
        )
        return answer

    def kill(self) -> None:
        """End the process at once; whoever waits for it finds out."""
        self.process.kill()

    def end(self) -> None:
        """End the process, gently if it is idle, and free what belongs to it."""
        self._connection.close()
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._kill_and_wait()
        self._files.close()

    def _send(self, message: Any) -> None:
        try:
            self._connection.send(message)
        except OSError:
            # It died; waiting for its answer finds out.
            return

    def _wait(self, find_stuck: Callable[[], Position | None]) -> Any:
        try:
            while True:
                if self._connection.poll(_LOOK_S):
                    message = self._connection.recv()
                    if not isinstance(message, logging.LogRecord):
                        return message
                    logging.getLogger(message.name).handle(message)
                    continue
                stuck = find_stuck()
                if stuck is not None:
                    self._stop_and_ask_where()
                    return self._lose(DETECTOR_TIMEOUT, stuck)
        except (EOFError, ConnectionError):
            reading, judging = read_positions(self._progress)
            return self._lose(DETECTOR_ERROR, judging if judging.stage != IDLE else reading)

    def _stop_and_ask_where(self) -> None:
        self.process.send_signal(signal.SIGABRT)
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._kill_and_wait()
        self._trace.seek(0)
        text = self._trace.read().decode("utf-8", "replace")
        # The thread that received the signal comes first or last, whichever held the interpreter.
        current = text[text.find("Current thread") :] if "Current thread" in text else text
        frames = _FRAME.findall(current.split("\n\n")[0])
        self.where = " < ".join(f"{file}:{line} {name}" for file, line, name in frames[:_MOST_FRAMES])

    def _lose(self, reason: str, at: Position) -> Lost:
        self.end()
        if at.stage == IDLE:
            return Lost(reason, None, None)
        # The shared encoder reads many texts at once, so its position says nothing about which.
        return Lost(reason, at.stage, None if at.stage == READING_STAGE else at.index)

    def _kill_and_wait(self) -> None:
        self.process.kill()
        self.process.wait()


class Watch:
    """Notices when a slot that is at work gives no sign of life for ``limit_s``."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._seen: dict[int, tuple[Position, float]] = {}

    def find_stuck(self, positions: Sequence[Position], now_s: float) -> Position | None:
        """Return the position that has not moved for the limit, if any; an idle one only if all are idle."""
        stuck = []
        for slot, position in enumerate(positions):
            seen = self._seen.get(slot)
            if seen is None or seen[0] != position:
                self._seen[slot] = (position, now_s)
            elif now_s - seen[1] >= self._limit_s:
                stuck.append(position)
        at_work = [position for position in stuck if position.stage != IDLE]
        if at_work:
            return at_work[-1]
        return stuck[0] if len(stuck) == len(positions) else None
