"""C2SP checkpoints: the signed statement "the log *origin* has *size* leaves and this root".

Text (c2sp.org/tlog-checkpoint): origin, size in decimal, root in base64, each on its line. Extension lines are
carried when others wrote them and never written by us. Standard library and ``cryptography`` only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies.audit.errors import NoteError, UnknownKeyError
from policies.audit.merkle import EMPTY_ROOT, HASH_BYTES
from policies.audit.note import (
    VerifierKey,
    decode_base64,
    encode_base64,
    parse_note,
    sign_text,
    verify_note,
)

MAX_SIZE = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head. ``note`` is the whole signed note it was read from or written to."""

    origin: str
    size: int
    root: bytes
    note: str


def checkpoint_to_text(origin: str, size: int, root: bytes) -> str:
    """Return the text that is signed; raise ``NoteError`` if it could not be read back as the same tree head."""
    text = f"{origin}\n{size}\n{encode_base64(root)}\n"
    if text_to_head(text) != (origin, size, root):
        raise NoteError(f"origin, size {size} and root do not make a checkpoint; the origin must be one line of text")
    return text


def text_to_head(text: str) -> tuple[str, int, bytes]:
    """Return origin, size and root of a checkpoint's text; raise ``NoteError`` if it is not one."""
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() != "" or "" in lines:
        raise NoteError("not a checkpoint: it needs the lines origin, size and root, none of them empty")
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1]) or int(lines[1]) > MAX_SIZE:
        raise NoteError(f"the size of a checkpoint is a decimal number up to {MAX_SIZE} without leading zeros")
    size, root = int(lines[1]), decode_base64(lines[2])
    if len(root) != HASH_BYTES:
        raise NoteError(f"the root of a checkpoint has {HASH_BYTES} bytes, found {len(root)}")
    if size == 0 and root != EMPTY_ROOT:
        raise NoteError("a checkpoint of an empty log has the empty root, SHA-256 of nothing")
    return lines[0], size, root


def sign_checkpoint(origin: str, size: int, root: bytes, name: str, private: Ed25519PrivateKey) -> Checkpoint:
    """Return the checkpoint signed by the log's Ed25519 key under ``name``."""
    note = sign_text(checkpoint_to_text(origin, size, root), name, private)
    return Checkpoint(origin, size, root, note.to_text())


def open_checkpoint(data: bytes, origin: str, key: VerifierKey) -> Checkpoint:
    """Return the checkpoint in ``data`` after verifying that ``key`` signed it for ``origin``.

    Raises ``SignatureError`` (altered), ``UnknownKeyError`` (another key or another log) or plain ``NoteError``
    (not a checkpoint). Both origin and key come from the reader's own configuration, never from the log.
    """
    note = parse_note(data)
    verify_note(note, key)
    found_origin, size, root = text_to_head(note.text)
    if found_origin != origin:
        raise UnknownKeyError(
            f"checkpoint is of the log {found_origin!r}, not of {origin!r}; is that the right origin?"
        )
    return Checkpoint(found_origin, size, root, data.decode())
