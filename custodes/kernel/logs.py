"""Logging: constant messages plus fields, never prompt or response text."""

from __future__ import annotations

import json
import logging
import math
import sys
from typing import Any, TextIO

from custodes.kernel.clock import ns_to_rfc3339

_FIELDS = "custodes_fields"
# ``detectors`` knows none of our packages, so its loggers have their own name and plain ``extra`` values.
_ROOTS = ("custodes", "detectors")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", _FIELDS}
# C0 and C1 controls, DEL and the two Unicode line separators: all that ends a line or steers a terminal.
_CONTROL = {code: f"\\x{code:02x}" for code in [*range(32), *range(127, 160)]} | {0x2028: "\\u2028", 0x2029: "\\u2029"}


def get_logger(name: str) -> logging.Logger:
    """Return the logger of one part, below ``custodes``."""
    return logging.getLogger(f"custodes.{name}")


def fields(**values: object) -> dict[str, Any]:
    """Return the ``extra=`` of a log call; the message stays constant: ``log.info("stored", extra=fields(n=3))``."""
    return {_FIELDS: values}


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = ns_to_rfc3339(int(record.created * 1e9))
        values = _values(record)
        parts = [f"{stamp[:19]}Z {record.levelname.lower():<7} {record.name}: {record.getMessage()}"]
        parts += [f"{key}={_plain(value)}" for key, value in values.items()]
        line = " ".join(parts)
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        elif record.exc_text:
            line += "\n" + record.exc_text
        return line


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        values = _values(record)
        line: dict[str, object] = {
            "time": ns_to_rfc3339(int(record.created * 1e9)),
            "level": record.levelname.lower(),
            "part": record.name,
            "message": record.getMessage(),
            **{key: _jsonable(value) for key, value in values.items()},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        elif record.exc_text:
            line["exception"] = record.exc_text
        return json.dumps(line, ensure_ascii=True)


def configure_logging(level: str, *, json_lines: bool, stream: TextIO | None = None) -> None:
    """Send all below ``custodes`` and ``detectors`` to stderr (or ``stream``); replaces what an earlier call set up."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonFormatter() if json_lines else _TextFormatter())
    for name in _ROOTS:
        root = logging.getLogger(name)
        root.handlers[:] = [handler]
        root.setLevel(level)
        root.propagate = False


def _values(record: logging.LogRecord) -> dict[str, object]:
    """Return the fields of a record: ours, and whatever else was given as ``extra=``."""
    ours: dict[str, object] = getattr(record, _FIELDS, {})
    return {**{key: value for key, value in vars(record).items() if key not in _STANDARD}, **ours}


def _jsonable(value: object) -> object:
    """Return what JSON can hold: finite numbers and truth values as they are, everything else as text."""
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)


def _plain(value: object) -> str:
    """Return a value on one line: control characters are escaped, so no value can forge a log line."""
    return str(value).translate(_CONTROL)
