"""The errors that leave this package.

    DetectorError
    ├── ModelFileError      a weights, head or parameter file is missing, changed or unreadable
    ├── UnknownProfileError the requested detector profile does not exist here
    └── ExchangeLineError   one line of an exchange file cannot be read

The tree stands alone: ``detectors`` imports nothing of the other packages, so that it can score a file on a
machine where no server is installed. Messages never hold prompt or response text.
"""

from __future__ import annotations


class DetectorError(Exception):
    """Root of everything this package raises on purpose."""


class ModelFileError(DetectorError):
    """A file that a detector needs is missing, is not the expected one, or cannot be read."""


class UnknownProfileError(DetectorError):
    """No detector profile of that name can be loaded."""


class ExchangeLineError(DetectorError):
    """One line of an exchange file cannot be read; the other lines are unaffected.

    ``line_no`` counts from 1; ``field`` names the offending field, or is None when the line as a whole is wrong.
    """

    def __init__(self, line_no: int, problem: str, *, field: str | None = None) -> None:
        self.line_no = line_no
        self.field = field
        where = f"line {line_no}" if field is None else f"line {line_no}, field {field!r}"
        super().__init__(f"{where}: {problem}")
