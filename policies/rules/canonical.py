"""The identity of a policy: SHA-256 over the RFC 8785 bytes of its document.

Comments, key order and formatting do not change the identity; every value does, as the author wrote
it, so ``5m`` and ``300s`` are different documents and a new default in a later release renames nothing.
"""

from __future__ import annotations

import hashlib

import rfc8785

from custodes.kernel.errors import InvalidInputError


def canonical_bytes(document: object) -> bytes:
    """Return the RFC 8785 form of plain JSON values.

    Raises ``InvalidInputError`` for values JSON cannot hold exactly: integers beyond 2^53, NaN and
    infinities, lone surrogates.
    """
    try:
        return rfc8785.dumps(document)  # type: ignore[arg-type]  # The library checks every value itself.
    except (rfc8785.CanonicalizationError, UnicodeError) as error:
        raise InvalidInputError(f"the document has no canonical form: {error}") from error


def version_id(document: object) -> str:
    """Return ``sha256:`` and 64 hex digits, equal for documents that mean the same JSON value."""
    return "sha256:" + hashlib.sha256(canonical_bytes(document)).hexdigest()
