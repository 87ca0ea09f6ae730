"""Retrieved documents in any of the shapes clients use, to ``[{"id", "content", "score"}]``.

Understood: texts, LangChain's and Haystack's documents, LlamaIndex's nodes, hits of vector stores with their text in
a payload, columns of ids and documents as Chroma returns them, and results that hold any of these.
"""

from __future__ import annotations

import math
from typing import Any

from collector.dialects.hidden import is_hidden
from collector.dialects.messages import parse_loosely
from collector.dialects.reading import looks_like_json
from collector.dialects.span import UNREADABLE, Document
from collector.otlp.spans import Value

_CONTENT_KEYS = ("content", "text", "page_content", "document", "pageContent", "chunk", "snippet", "body")
_ID_KEYS = ("id", "id_", "doc_id", "document_id", "chunk_id", "doc_uri", "source")
_SCORE_KEYS = ("score", "relevance_score", "similarity")
_FOLDERS = ("kwargs", "node", "document", "payload", "entity", "properties", "metadata")
_WRAPPERS = ("documents", "source_documents", "docs", "results", "matches", "nodes", "hits", "chunks", "contexts",
             "context", "data", "output", "result")  # fmt: skip
MAX_DOCUMENTS = 1_000
_DEEPEST = 4


def read_documents(value: Value) -> list[Document]:
    """Return the documents in an attribute value: a list of texts or objects, structured or as JSON text.

    Text that is no JSON is one document; a list or an object that cannot be parsed is an unreadable one. At
    most 1,000 are kept.
    """
    if value is None:
        return []
    parsed = parse_loosely(value)
    if looks_like_json(parsed) and not is_hidden(parsed):
        return [{"id": None, "content": None, "score": None, UNREADABLE: value}]
    return [document for one in _listed(parsed, _DEEPEST) if (document := read_document(one)) is not None]


def read_document(value: Any) -> Document | None:
    """Return one document; ``None`` when it has neither content nor id."""
    if isinstance(value, str):
        return {"id": None, "content": value, "score": None} if value and not is_hidden(value) else None
    if not isinstance(value, dict):
        return None
    content, identifier = value.get("content"), value.get("id")
    if isinstance(content, str) and content and isinstance(identifier, str) and identifier and not is_hidden(content):
        return {"id": identifier, "content": content, "score": _score(value)}
    content = _content(value)
    identifier = _identifier(value)
    score = _score(value)
    for folder in _FOLDERS if content is None or identifier is None else ():
        below = value.get(folder)
        if isinstance(below, dict):
            if content is None:
                inner = read_document(below)
                content = inner["content"] if inner else None
                identifier = identifier or (inner["id"] if inner else None)
            identifier = identifier or _identifier(below)
    if content is None and identifier is None:
        return None
    return {"id": identifier, "content": content, "score": score}


def _listed(value: Any, levels: int) -> list[Any]:
    """Return the single documents in a result, at most 1,000: of lists in lists, of members, of columns."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        if _content(value) is None and not isinstance(value.get("document"), dict):
            for wrapper in _WRAPPERS:
                inside = value.get(wrapper)
                if isinstance(inside, dict) and levels:
                    return _listed(inside, levels - 1)
                if isinstance(inside, list):
                    return _columns(value, inside) if wrapper == "documents" else _listed(inside, levels)
        return [value]
    if not isinstance(value, list):
        return []
    if levels and any(isinstance(one, list) for one in value):
        return [inner for one in value for inner in _listed(one, levels - 1)][:MAX_DOCUMENTS]
    return value[:MAX_DOCUMENTS]


def _columns(value: dict[str, Any], documents: list[Any]) -> list[Any]:
    """Return documents with the ids that stand in a column of their own beside them, as Chroma returns them."""
    texts, ids = _flat(documents), _flat(value.get("ids"))
    if len(texts) != len(ids) or not all(isinstance(one, str) for one in texts):
        return texts[:MAX_DOCUMENTS]
    return [{"id": one, "content": text} for one, text in zip(ids, texts, strict=True)][:MAX_DOCUMENTS]


def _flat(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return []
    return [inner for one in value for inner in (one if isinstance(one, list) else (one,))]


def _content(value: dict[str, Any]) -> str | None:
    texts = (value.get(key) for key in _CONTENT_KEYS)
    return next((text for text in texts if isinstance(text, str) and text and not is_hidden(text)), None)


def _identifier(value: dict[str, Any]) -> str | None:
    for key in _ID_KEYS:
        identifier = value.get(key)
        if isinstance(identifier, str) and identifier:
            return identifier
        if isinstance(identifier, int | float) and not isinstance(identifier, bool):
            return str(identifier)
    return None


def _score(value: dict[str, Any]) -> float | None:
    for key in _SCORE_KEYS:
        score = value.get(key)
        if not isinstance(score, bool) and isinstance(score, int | float) and math.isfinite(score):
            return float(score)
    return None
