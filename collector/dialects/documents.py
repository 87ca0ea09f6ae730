"""Retrieved documents in any of the shapes clients use, to ``[{"id", "content", "score"}]``."""

from __future__ import annotations

import math
from typing import Any

from collector.dialects.messages import REDACTED
from collector.dialects.reading import looks_like_json, parse_json
from collector.dialects.span import UNREADABLE, Document
from collector.otlp.spans import Value

_CONTENT_KEYS = ("content", "text", "page_content", "document")
MAX_DOCUMENTS = 1_000


def read_documents(value: Value) -> list[Document]:
    """Return the documents in an attribute value: a list of texts or objects, structured or as JSON text.

    Text that is no JSON is one document; a list or an object that cannot be parsed is an unreadable one. At
    most 1,000 are kept.
    """
    parsed = parse_json(value)
    if looks_like_json(parsed):
        return [{"id": None, "content": None, "score": None, UNREADABLE: value}]
    if isinstance(parsed, str):
        parsed = [parsed] if parsed else []
    if isinstance(parsed, dict):
        parsed = parsed["documents"] if isinstance(parsed.get("documents"), list) else [parsed]
    if not isinstance(parsed, list):
        return []
    return [document for one in parsed[:MAX_DOCUMENTS] if (document := read_document(one)) is not None]


def read_document(value: Any) -> Document | None:
    """Return one document; ``None`` when it has neither content nor id."""
    if isinstance(value, str):
        return {"id": None, "content": value, "score": None} if value and value != REDACTED else None
    if not isinstance(value, dict):
        return None
    texts = (value.get(key) for key in _CONTENT_KEYS)
    content = next((text for text in texts if isinstance(text, str) and text and text != REDACTED), None)
    identifier = value.get("id")
    if isinstance(identifier, int | float):
        identifier = str(identifier)
    if not isinstance(identifier, str) or not identifier:
        identifier = None
    if content is None and identifier is None:
        return None
    return {"id": identifier, "content": content, "score": _score(value.get("score"))}


def _score(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
