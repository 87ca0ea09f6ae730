"""The error tree of the audit log.

It stands alone, so that the offline verifier needs nothing but the standard library and ``cryptography``.

::

    AuditError
    ├── CanonicalError      a value or some bytes that are not strict, canonical JSON
    ├── LeafError           an event that cannot become a leaf
    ├── ProofError          a Merkle proof that proves nothing
    ├── TileError           bytes or a path that are not a tile or an entry bundle
    ├── NoteError           a malformed signed note, checkpoint, receipt or verifier key
    │   ├── UnknownKeyError     well-formed, but not signed by any key we were told to trust
    │   └── SignatureError      a line that claims a trusted key and does not verify
    ├── LogKeyError         the signing key file is missing, exposed or damaged
    ├── LogStateError       the stored log contradicts what was signed; it must not be written to
    ├── NotInLogError       no such leaf, tile or checkpoint
    └── ExportError         a bundle cannot be written there
"""

from __future__ import annotations


class AuditError(Exception):
    """Root of every error of the audit log."""


class CanonicalError(AuditError):
    """A value that RFC 8785 cannot express exactly, or bytes that are not strict JSON."""


class LeafError(AuditError):
    """An event that cannot become a leaf: a field missing, reserved or too long."""


class ProofError(AuditError):
    """A Merkle proof that does not lead to the root it was given for, or impossible arguments."""


class TileError(AuditError):
    """Bytes or a path that are not a tile or an entry bundle."""


class NoteError(AuditError):
    """A signed note, checkpoint, receipt or verifier key that is not in its format."""


class UnknownKeyError(NoteError):
    """A well-formed note without a signature by any trusted key."""


class SignatureError(NoteError):
    """A signature line that names a trusted key but does not verify under it."""


class LogKeyError(AuditError):
    """The log's signing key file cannot be used; the message names the file and what to do."""


class LogStateError(AuditError):
    """The stored log contradicts a checkpoint that was signed. Nothing may be appended until someone looked."""


class NotInLogError(AuditError):
    """The log has no such leaf, tile, bundle or checkpoint."""


class ExportError(AuditError):
    """An export bundle cannot be written to the place asked for."""
