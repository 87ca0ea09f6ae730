"""The master key: one file that the keys of captured text are kept under.

The file holds one line, ``custodes-content-key+<fingerprint>+<base64 of 32 bytes>``, readable by its owner only.
Without it no captured text can be read again, so it is never replaced. Back it up, but not beside the database.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import re
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from custodes.kernel.errors import ConfigurationError

KEY_FILE = "content.key"
KEY_BYTES = 32
ID_BYTES = 16
_NONCE_BYTES = 12
_PREFIX = "custodes-content-key"
_MAX_FILE_BYTES = 4096


class MasterKey:
    """Wraps data keys and hides whose they are. Its uses have keys of their own, derived by HMAC-SHA256."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._wrapping = AESGCM(self._derive("wrap"))
        self._hiding = self._derive("subject")
        self._sealing = AESGCM(self._derive("secret"))
        self.fingerprint = self._derive("fingerprint")[:ID_BYTES]

    def digest_subject(self, project: str, subject: str) -> bytes:
        """Return 16 bytes that stand for a person in the database; without this key they cannot be tried out.

        Keyed BLAKE2b (RFC 7693): a tenth of the time of OpenSSL's HMAC, and called for every person seen anew.
        """
        message = project.encode() + b"\0" + subject.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(message, key=self._hiding, digest_size=ID_BYTES).digest()

    def wrap(self, project: str, key_id: bytes, key: bytes) -> bytes:
        """Return ``key`` encrypted, bound to its id and project: 60 bytes."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._wrapping.encrypt(nonce, key, project.encode() + b"\0" + key_id)

    def unwrap(self, project: str, key_id: bytes, wrapped: bytes) -> bytes | None:
        """Return the key; ``None`` when it was wrapped by another master key, for another place, or is damaged."""
        try:
            return self._wrapping.decrypt(
                wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], project.encode() + b"\0" + key_id
            )
        except (InvalidTag, ValueError):
            return None

    def seal(self, place: str, plain: bytes) -> bytes:
        """Return a small secret of the installation encrypted, bound to the place it is kept at."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._sealing.encrypt(nonce, plain, place.encode())

    def unseal(self, place: str, sealed: bytes) -> bytes | None:
        """Return the secret; ``None`` when it was sealed by another master key, for another place, or is damaged."""
        try:
            return self._sealing.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError):
            return None

    def to_line(self) -> str:
        """Return the content of the key file."""
        return f"{_PREFIX}+{self.fingerprint.hex()}+{base64.b64encode(self._secret).decode()}\n"

    def _derive(self, purpose: str) -> bytes:
        return hmac.digest(self._secret, f"custodes content {purpose} 1".encode(), "sha256")


def load_or_create_master_key(folder: Path) -> MasterKey:
    """Return the master key in ``folder``, created at first use.

    Creation is atomic: of two processes that start at once, one creates the key and both load it. Raises
    ``ConfigurationError`` for a key that cannot be created, and as :func:`load_master_key` does.
    """
    path = folder / KEY_FILE
    if not os.path.lexists(path):
        _create(path)
    return load_master_key(path)


def load_master_key(path: Path) -> MasterKey:
    """Return the key in ``path``; raise ``ConfigurationError`` if it is missing, open to others or damaged."""
    try:
        with open(path, "rb", opener=_open_now) as file:
            status = os.fstat(file.fileno())
            text = file.read(_MAX_FILE_BYTES) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        raise ConfigurationError(
            f"content key {path} cannot be read: {error.strerror}; restore it from your backup"
        ) from error
    if status.st_mode & 0o077:
        raise ConfigurationError(
            f"content key {path} has mode {stat.S_IMODE(status.st_mode):04o}, open to others; run: chmod 600 {path}"
        )
    match = re.fullmatch(rb"custodes-content-key\+([0-9a-f]{32})\+([A-Za-z0-9+/=]+)\s*", text)
    try:
        key = None if match is None else MasterKey(base64.b64decode(match[2], validate=True))
    except binascii.Error:
        key = None
    if match is None or key is None or key.fingerprint.hex() != match[1].decode():
        raise ConfigurationError(f"content key {path} is damaged; restore it from your backup")
    return key


def _open_now(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # A named pipe in the key's place must not hang start-up.


def _create(path: Path) -> None:
    """Write a fresh key beside ``path`` and link it into place, which fails if another process was first."""
    line = MasterKey(secrets.token_bytes(KEY_BYTES)).to_line()
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(line)
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
        raise ConfigurationError(
            f"content key {path} cannot be created: {error.strerror}; make {path.parent} a writable folder"
        ) from error
