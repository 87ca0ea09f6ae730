"""C2SP signed notes: text, and lines that sign it. Standard library and ``cryptography`` only.

Format (c2sp.org/signed-note)::

    text, one or more lines
                                                  ← the last empty line
    — <key name> base64(key id (4) || signature)

A *verifier key* is ``<key name>+<key id, 8 hex digits>+<base64(type || public key)>`` and the key id is
``SHA-256(name || 0x0A || type || public key)[:4]``. Two types are spoken: ``0x01`` Ed25519 over the text, and
``0x04`` the Ed25519 witness cosignature of c2sp.org/tlog-cosignature, which adds the time of signing.

Base64 is read strictly: exactly the encoding of its bytes and nothing else, so no byte of a line can change without
notice.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from policies.audit.errors import NoteError, SignatureError, UnknownKeyError

ED25519 = 0x01
COSIGNATURE = 0x04
MAX_NOTE_BYTES = 256 * 1024
MAX_SIGNATURES = 64

_KEY_ID_BYTES = 4
_PUBLIC_BYTES = 32
_TIME_BYTES = 8
_SIGNATURE_BYTES = 64
_LINE = re.compile(r"\u2014 ([^ \n]+) ([A-Za-z0-9+/=]+)")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key we were told to trust, bound to its name. ``kind`` is ``ED25519`` or ``COSIGNATURE``."""

    name: str
    kind: int
    public: bytes

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if self.kind not in (ED25519, COSIGNATURE) or len(self.public) != _PUBLIC_BYTES:
            raise NoteError(
                f"key of type 0x{self.kind:02x} with {len(self.public)} bytes; "
                "Ed25519 (0x01) and Ed25519 cosignature (0x04) keys of 32 bytes are supported"
            )

    @property
    def id(self) -> bytes:
        """The 4-byte key id."""
        hashed = self.name.encode() + b"\n" + bytes([self.kind]) + self.public
        return hashlib.sha256(hashed).digest()[:_KEY_ID_BYTES]

    def to_text(self) -> str:
        """Return the verifier key form ``name+id+base64``."""
        return f"{self.name}+{self.id.hex()}+{encode_base64(bytes([self.kind]) + self.public)}"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line, not yet believed."""

    name: str
    key_id: bytes
    signed: bytes

    def to_line(self) -> str:
        """Return the line as it stands in a note, without its newline."""
        return f"\u2014 {self.name} {encode_base64(self.key_id + self.signed)}"


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends in a newline, and its signature lines in order."""

    text: str
    signatures: tuple[Signature, ...]

    def to_text(self) -> str:
        """Return the whole note."""
        return self.text + "\n" + "".join(signature.to_line() + "\n" for signature in self.signatures)


def parse_verifier_key(text: str) -> VerifierKey:
    """Return the key that a verifier key text describes; raise ``NoteError`` if any part of it is wrong."""
    parts = text.split("+", 2)
    if len(parts) != 3 or not re.fullmatch(r"[0-9a-f]{8}", parts[1]):
        raise NoteError(
            "not a verifier key; expected name+8 hex digits+base64, as `custodes audit checkpoint` prints it"
        )
    material = decode_base64(parts[2])
    key = VerifierKey(parts[0], material[0] if material else 0, material[1:])
    if key.id.hex() != parts[1]:
        raise NoteError(f"verifier key says id {parts[1]}, its name and key give {key.id.hex()}; it was altered")
    return key


def parse_note(data: bytes) -> Note:
    """Return the parts of a signed note; nothing in it is verified. Raise ``NoteError`` if it is not one."""
    if len(data) > MAX_NOTE_BYTES:
        raise NoteError(f"note has {len(data)} bytes; at most {MAX_NOTE_BYTES} are read")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteError(f"note is not UTF-8 at byte {error.start}") from error
    if any(character < " " and character != "\n" for character in whole):
        raise NoteError("note contains control characters")
    text, separator, lines = whole.rpartition("\n\n")
    if not separator or not text or not lines.endswith("\n"):
        raise NoteError("not a signed note: no text, empty line and signature lines, each ended by a newline")
    signatures = tuple(_parse_line(line) for line in lines[:-1].split("\n"))
    if len(signatures) > MAX_SIGNATURES:
        raise NoteError(f"note has {len(signatures)} signatures; at most {MAX_SIGNATURES} are read")
    return Note(text + "\n", signatures)


def sign_text(text: str, name: str, private: Ed25519PrivateKey) -> Note:
    """Return ``text`` as a note signed by an Ed25519 key (type 0x01) under ``name``."""
    key = VerifierKey(name, ED25519, private.public_key().public_bytes_raw())
    note = Note(text, (Signature(name, key.id, private.sign(text.encode())),))
    if parse_note(note.to_text().encode()) != note:
        raise NoteError("text cannot be signed as a note; it must end in a newline and hold no control characters")
    return note


def cosign(note: Note, name: str, private: Ed25519PrivateKey, at_s: int) -> Note:
    """Return ``note`` with the cosignature (type 0x04) of a witness added: it saw this text at unix time ``at_s``."""
    key = VerifierKey(name, COSIGNATURE, private.public_key().public_bytes_raw())
    signed = at_s.to_bytes(_TIME_BYTES, "big") + private.sign(_cosigned_message(note.text, at_s))
    return Note(note.text, (*note.signatures, Signature(name, key.id, signed)))


def verify_note(note: Note, key: VerifierKey) -> int | None:
    """Return the time of signing in unix seconds (``None`` for type 0x01) if ``key`` signed the note.

    Raise ``SignatureError`` if a line names the key but does not verify, or if a line verifies under the key but
    names another: then it was altered. Raise ``UnknownKeyError`` if no line is the key's.
    """
    times = [
        _check_line(note.text, line, key) for line in note.signatures if (line.name, line.key_id) == (key.name, key.id)
    ]
    if times:
        return times[0]
    for line in note.signatures:
        try:
            _check_line(note.text, line, key)
        except SignatureError:
            continue
        raise SignatureError(f"the signature of {key.name} stands under another name or key id; the note was altered")
    raise UnknownKeyError(f"note is not signed by {key.name} (key id {key.id.hex()}); is that the right verifier key?")


def check_key_name(name: str) -> None:
    """Raise ``NoteError`` unless ``name`` is non-empty and free of spaces, plus signs and control characters."""
    if not name or "+" in name or any(character.isspace() or not character.isprintable() for character in name):
        raise NoteError("a key name must be non-empty, without spaces, plus signs or control characters")


def encode_base64(data: bytes) -> str:
    """Return standard base64 with padding."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str) -> bytes:
    """Return the bytes of standard base64; raise ``NoteError`` unless ``text`` is exactly their encoding."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError("not base64") from error
    if encode_base64(data) != text:
        raise NoteError("not canonical base64: unused bits are set")
    return data


def count_unknown(note: Note, keys: Sequence[VerifierKey]) -> int:
    """Return how many of the note's lines belong to none of ``keys``; such lines prove nothing and are ignored."""
    known = {(key.name, key.id) for key in keys}
    return sum((line.name, line.key_id) not in known for line in note.signatures)


def _parse_line(line: str) -> Signature:
    match = _LINE.fullmatch(line)
    if match is None:
        raise NoteError("a signature line must be: em dash, space, key name, space, base64")
    check_key_name(match[1])
    blob = decode_base64(match[2])
    if len(blob) <= _KEY_ID_BYTES:
        raise NoteError("a signature line holds no signature after the key id")
    return Signature(match[1], blob[:_KEY_ID_BYTES], blob[_KEY_ID_BYTES:])


def _check_line(text: str, line: Signature, key: VerifierKey) -> int | None:
    at_s = None
    signature, message = line.signed, text.encode()
    if key.kind == COSIGNATURE:
        at_s = int.from_bytes(line.signed[:_TIME_BYTES], "big")
        signature, message = line.signed[_TIME_BYTES:], _cosigned_message(text, at_s)
    try:
        if len(signature) != _SIGNATURE_BYTES:
            raise InvalidSignature
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise SignatureError(
            f"the signature of {key.name} does not verify; the note or its signature was altered"
        ) from error
    return at_s


def _cosigned_message(text: str, at_s: int) -> bytes:
    return f"cosignature/v1\ntime {at_s}\n{text}".encode()
