"""The log's signing key on disk: one Ed25519 key, one file, readable by its owner only.

The file holds one line in the form that Go's ``sumdb/note`` uses for signing keys,
``PRIVATE+KEY+<name>+<key id>+<base64(0x01 || seed)>``. The name is also the log's origin, ``custodes/<log id>``,
chosen at random once: two installations never share one, and a log whose key was lost must start a new origin.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies.audit.checkpoint import Checkpoint, sign_checkpoint
from policies.audit.errors import LogKeyError, NoteError
from policies.audit.note import ED25519, Note, VerifierKey, decode_base64, encode_base64, sign_text

KEY_FILE = "audit-log.key"
_PREFIX = "PRIVATE+KEY+"
_MAX_FILE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class LogKey:
    """The identity that signs this log: its origin and its private key, which no representation shows."""

    origin: str
    private: Ed25519PrivateKey = field(repr=False)

    @property
    def verifier(self) -> VerifierKey:
        """The public half; ``verifier.to_text()`` is what an auditor is given."""
        return VerifierKey(self.origin, ED25519, self.private.public_key().public_bytes_raw())

    def sign_checkpoint(self, size: int, root: bytes) -> Checkpoint:
        """Return the signed statement that this log has ``size`` leaves and ``root``."""
        return sign_checkpoint(self.origin, size, root, self.origin, self.private)

    def sign_text(self, text: str) -> Note:
        """Return ``text`` as a note signed by this log; the text must not read as a checkpoint."""
        return sign_text(text, self.origin, self.private)


def load_or_create_key(data_dir: Path) -> LogKey:
    """Return the log key of a data directory, creating it at first use.

    Creation is atomic: of two processes that start at once, one creates the key and both load it. A key that
    exists but cannot be used raises ``LogKeyError`` and is never replaced.
    """
    path = data_dir / KEY_FILE
    if not os.path.lexists(path):
        _create_key(path)
    return load_key(path)


def load_key(path: Path) -> LogKey:
    """Return the key in ``path``; raise ``LogKeyError`` if it is missing, open to others or damaged."""
    try:
        with open(path, "rb", opener=_open_now) as file:
            status = os.fstat(file.fileno())
            data = file.read(_MAX_FILE_BYTES) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        raise LogKeyError(
            f"audit log key {path} cannot be read: {error.strerror}; restore it from your backup"
        ) from error
    if status.st_mode & 0o077:
        raise LogKeyError(
            f"audit log key {path} has mode {stat.S_IMODE(status.st_mode):04o}, open to others;"
            f" run: chmod 600 {path} (and retire the key if others may have read it)"
        )
    try:
        return _text_to_key(data.decode("ascii"))
    except (NoteError, ValueError) as error:
        raise LogKeyError(f"audit log key {path} is damaged; restore it from your backup") from error


def _open_now(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # A named pipe in the key's place must not hang start-up.


def _create_key(path: Path) -> None:
    """Write a fresh key beside ``path`` and link it into place, which fails if another process was first."""
    origin = f"custodes/{secrets.token_hex(8)}"
    text = _key_to_text(LogKey(origin, Ed25519PrivateKey.generate()))
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(fresh, path)
        finally:
            os.unlink(fresh)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise LogKeyError(
            f"audit log key {path} cannot be created: {error.strerror}; make {path.parent} a writable folder"
        ) from error


def _key_to_text(key: LogKey) -> str:
    material = bytes([ED25519]) + key.private.private_bytes_raw()
    return f"{_PREFIX}{key.origin}+{key.verifier.id.hex()}+{encode_base64(material)}\n"


def _text_to_key(text: str) -> LogKey:
    match = re.fullmatch(r"PRIVATE\+KEY\+([^+\n]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)\n?", text)
    if match is None:
        raise NoteError("not a signing key line")
    material = decode_base64(match[3])
    if len(material) != 33 or material[0] != ED25519:
        raise NoteError("not an Ed25519 signing key")
    key = LogKey(match[1], Ed25519PrivateKey.from_private_bytes(material[1:]))
    if key.verifier.id.hex() != match[2]:
        raise NoteError("the key id does not belong to this name and key")
    return key
