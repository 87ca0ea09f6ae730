"""Keeping what a receiver must not share: encrypted, and bound to its endpoint so that no row can borrow another's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import orjson


class SecretBox(Protocol):
    """Encrypts small texts under the installation's key."""

    def seal(self, place: str, text: str) -> bytes:
        """Return ``text`` encrypted for ``place``. May read the database, so call it outside any transaction."""
        ...

    def open(self, place: str, sealed: bytes) -> str:
        """Return the text; raise ``CustodesError`` when the key is not there or does not open it."""
        ...


def seal_secrets(box: SecretBox, project_id: str, endpoint_id: str, secrets: Mapping[str, str]) -> bytes | None:
    """Return named secrets of an endpoint encrypted; ``None`` for none."""
    if not secrets:
        return None
    return box.seal(_place(project_id, endpoint_id), orjson.dumps(dict(secrets)).decode())


def open_secrets(box: SecretBox, project_id: str, endpoint_id: str, sealed: bytes | None) -> dict[str, str]:
    """Return the named secrets of an endpoint; raise ``CustodesError`` when they cannot be decrypted."""
    if sealed is None:
        return {}
    found: dict[str, str] = orjson.loads(box.open(_place(project_id, endpoint_id), sealed))
    return found


def _place(project_id: str, endpoint_id: str) -> str:
    return f"endpoint\0{project_id}\0{endpoint_id}"
