"""The errors that leave this package.

    DetectorError
    ├── ModelFileError      a weights, head or parameter file is missing, changed or unreadable
    │   └── MissingBundleError  a profile needs model bundles that were never imported
    ├── UnknownProfileError the requested detector profile does not exist here
    ├── ScoringProcessError the process that scores cannot be started, or fails whatever it is spared
    ├── ExchangeLineError   one line of an exchange file cannot be read
    ├── OutcomeLineError    one line of a file of outcomes by group cannot be compared with the others
    ├── TooManyGroupsError  a file names more groups than can be told apart
    ├── DriftInputError     embeddings or values that no monitor can be fed with
    ├── DriftStateError     a stored monitor or reference is damaged or of another kind
    │   └── DriftFormatError  it is whole, but of another release's format: it has to be made anew
    └── OtherEncoderError   embeddings of another encoder than the reference's: they are never mixed

The tree stands alone: ``detectors`` imports nothing of the other packages, so that it can score a file on a
machine where no server is installed. Messages never hold prompt or response text.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class DetectorError(Exception):
    """Root of everything this package raises on purpose."""


class ModelFileError(DetectorError):
    """A file that a detector needs is missing, is not the expected one, or cannot be read."""


class MissingBundleError(ModelFileError):
    """A profile needs model bundles that are not in the models directory; says which, and how they get there.

    ``missing`` maps each bundle's name to the part it was to play.
    """

    def __init__(self, missing: Mapping[str, str], models_dir: Path | None) -> None:
        self.missing = dict(missing)
        named = ", ".join(f"{name} ({part})" for name, part in missing.items())
        where = (
            "there is no models directory (set CUSTODES_MODELS__DIR)" if models_dir is None else f"not in {models_dir}"
        )
        commands = "; ".join(f"custodes models import {name}" for name in missing)
        super().__init__(
            f"model bundles are missing: {named}; {where}. Get their folders as docs/full-profile.md describes "
            f"(custodes models fetch does it where the hub may be used), then run: {commands}"
        )


class UnknownProfileError(DetectorError):
    """No detector profile of that name can be loaded."""


class ScoringProcessError(DetectorError):
    """The process that scores cannot be started, or fails on exchanges whatever is left out."""


class ExchangeLineError(DetectorError):
    """One line of an exchange file cannot be read; the other lines are unaffected.

    ``line_no`` counts from 1; ``field`` names the offending field, or is None when the line as a whole is wrong.
    """

    def __init__(self, line_no: int, problem: str, *, field: str | None = None) -> None:
        self.line_no = line_no
        self.field = field
        where = f"line {line_no}" if field is None else f"line {line_no}, field {field!r}"
        super().__init__(f"{where}: {problem}")


class OutcomeLineError(DetectorError):
    """One line of a file of outcomes cannot be used, so the file as a whole cannot be judged.

    ``line_no`` counts from 1; ``field`` names the offending field, or is None when the line as a whole is wrong.
    """

    def __init__(self, line_no: int, problem: str, *, field: str | None = None) -> None:
        self.line_no = line_no
        self.field = field
        where = f"line {line_no}" if field is None else f"line {line_no}, field {field!r}"
        super().__init__(f"{where}: {problem}")


class TooManyGroupsError(DetectorError):
    """A file names more groups than can be compared."""


class DriftInputError(DetectorError):
    """Embeddings or values that cannot make a reference or feed a monitor; the message says what to give instead."""


class DriftStateError(DetectorError):
    """Stored bytes of a monitor or a reference are damaged, of another kind, or belong to another reference."""


class DriftFormatError(DriftStateError):
    """Stored bytes are whole, but of another release's format: what they hold has to be made anew."""


class OtherEncoderError(DetectorError):
    """The embeddings come from another encoder, or have another length, than the reference's.

    Their coordinates mean something else, so they are never compared; a new reference must be opened.
    """
