"""What the log key signed last, remembered beside the key instead of in the database.

A database can be put back to last week; the log would then sign a second history under the same key, and nobody who
starts it could know. The mark is the newest signed checkpoint, written before that checkpoint is committed. A log whose
database does not contain the marked tree refuses to start. The mark is no secret and no proof for others (whoever owns
the host can delete it); it turns an innocent restore into a clear error instead of a fork.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from policies.audit.checkpoint import Checkpoint, open_checkpoint
from policies.audit.errors import LogKeyError, LogStateError, NoteError
from policies.audit.note import MAX_NOTE_BYTES, VerifierKey

MARK_FILE = "audit-log.signed"


@dataclass(frozen=True, slots=True)
class SignedMark:
    """The mark file. Writers hold the head row's lock, so the file only ever moves forward."""

    path: Path

    def load(self, key: VerifierKey) -> Checkpoint | None:
        """Return the newest checkpoint this key signed here; ``None`` if it signed none.

        Raises ``LogStateError`` if the file holds anything else.
        """
        try:
            with open(self.path, "rb") as file:
                data = file.read(MAX_NOTE_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LogKeyError(f"{self.path} cannot be read: {error.strerror}; make it readable to Custodes") from error
        try:
            return open_checkpoint(data, key.name, key)
        except NoteError as error:
            raise LogStateError(
                f"{self.path} is not a checkpoint of the log key beside it: {error}; restore both from one backup"
            ) from error

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the mark, durably and in one step; raise ``LogKeyError`` if that is impossible."""
        fresh = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(checkpoint.note.encode())
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self.path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise LogKeyError(
                f"{self.path} cannot be written: {error.strerror}; nothing is signed until it can"
            ) from error
