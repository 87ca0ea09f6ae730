"""Binary content inside messages: kept whole while small, else by size and hash.

A picture says nothing a text detector can judge, so its bytes would only fill the database; its size and SHA-256
still tell whether two requests carried the same one.
"""

from __future__ import annotations

import binascii
import hashlib
from typing import Any

MAX_BLOB_CHARACTERS = 64 * 1024
_LANGFUSE_MEDIA = "@@@langfuseMedia:"
_LONGEST_REFERENCE = 512
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=\r\n"
_DEEPEST = 64


def modality_of(mime_type: str | None, otherwise: str = "document") -> str:
    """Return ``image``, ``audio``, ``video`` or ``document``, by media type."""
    family = mime_type.partition("/")[0].lower() if mime_type else ""
    return family if family in ("image", "audio", "video") else otherwise


def blob_part(content: str | bytes, modality: str | None, mime_type: str | None = None) -> dict[str, Any]:
    """Return a blob part: with its ``content`` up to 64 KiB of base64, else with ``bytes`` and ``sha256``.

    Both describe the decoded payload, or the text as it came where it is no base64.
    """
    part: dict[str, Any] = {"type": "blob", "modality": modality or modality_of(mime_type)}
    if mime_type:
        part["mime_type"] = mime_type
    if len(content) <= MAX_BLOB_CHARACTERS:
        part["content"] = content
        return part
    payload = _decode(content) if isinstance(content, str) else content
    return {**part, "bytes": len(payload), "sha256": hashlib.sha256(payload).hexdigest()}


def reference_part(uri: str, modality: str | None, mime_type: str | None = None) -> dict[str, Any]:
    """Return what a URI refers to: the blob inside a ``data:`` URI, Langfuse's stored file, else a ``uri`` part."""
    if uri[:5].lower() == "data:":
        head, _, payload = uri[5:].partition(",")
        mime_type = head.partition(";")[0] or mime_type
        return blob_part(payload, modality_of(mime_type, modality or "document"), mime_type)
    if uri.startswith(_LANGFUSE_MEDIA):
        fields = dict(one.partition("=")[::2] for one in uri[len(_LANGFUSE_MEDIA) :].rstrip("@").split("|"))
        mime_type = fields.get("type") or mime_type
        return file_part(fields.get("id", uri), modality_of(mime_type, modality or "document"), mime_type)
    part: dict[str, Any] = {"type": "uri", "modality": modality or modality_of(mime_type), "uri": uri}
    if mime_type:
        part["mime_type"] = mime_type
    return part


def file_part(file_id: str, modality: str | None, mime_type: str | None = None) -> dict[str, Any]:
    """Return a part that names a file kept elsewhere."""
    part: dict[str, Any] = {"type": "file", "modality": modality or modality_of(mime_type), "file_id": file_id}
    if mime_type:
        part["mime_type"] = mime_type
    return part


def is_reference(text: str) -> bool:
    """Return whether a text is, as a whole, binary content or a reference to it rather than words.

    What merely begins like one is words: else a message could be kept from being judged by how it begins.
    """
    if text.startswith(_LANGFUSE_MEDIA):
        return text.endswith("@@@") and len(text) <= _LONGEST_REFERENCE and text.isprintable() and " " not in text
    if text[:5].lower() != "data:":
        return False
    head, comma, payload = text.partition(",")
    return bool(comma) and len(head) <= _LONGEST_REFERENCE and head.endswith(";base64") and _is_base64(payload)


def without_payloads(value: Any, levels: int = _DEEPEST) -> Any:
    """Return ``value`` with every base64 text longer than 64 KiB in it replaced by a blob part."""
    if isinstance(value, str):
        if len(value) <= MAX_BLOB_CHARACTERS:
            return value
        if is_reference(value):
            return reference_part(value, None)
        return blob_part(value, None) if _is_base64(value) else value
    if levels == 0:
        return value
    if isinstance(value, list):
        return [without_payloads(one, levels - 1) for one in value]
    if isinstance(value, dict):
        return {key: without_payloads(one, levels - 1) for key, one in value.items()}
    return value


def _is_base64(text: str) -> bool:
    return not text.strip(_BASE64)


def _decode(text: str) -> bytes:
    raw = text.encode("utf-8", "replace")
    try:
        return binascii.a2b_base64(raw.translate(bytes.maketrans(b"-_", b"+/")))
    except binascii.Error:
        return raw
