"""What a tool found, as documents: agents retrieve by calling tools, and their spans call it a result.

Only tools that look something up count, since what a calculator or a mail program answers is no source that a response
must keep to: those of the type ``datastore`` of the GenAI conventions, and those named for it, such as ``retrieve``,
``knowledge_base`` or ``searchDocs``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from collector.dialects.documents import MAX_DOCUMENTS, read_documents
from collector.dialects.span import Document, Message

TYPE = "gen_ai.tool.type"
NAMES = ("gen_ai.tool.name", "tool.name", "tool_name", "ai.toolCall.name", "traceloop.entity.name")
RESULT = "gen_ai.tool.call.result"
_DATASTORE = "datastore"
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_LONGEST_NAME = 256
_LOOKING_UP = frozenset({"retrieve", "retriever", "retrieval", "search", "knowledge", "kb", "rag", "lookup"})


def looks_up(attributes: Mapping[str, Any]) -> bool:
    """Return whether the tool on whose span these attributes are retrieves something."""
    if attributes.get(TYPE) == _DATASTORE:
        return True
    names = (attributes.get(key) for key in NAMES)
    return any(isinstance(name, str) and _says_so(name[:_LONGEST_NAME]) for name in names)


def read_tool_documents(attributes: Mapping[str, Any], outputs: Sequence[Message]) -> list[Document]:
    """Return what the tool returned as documents, from its result or else from the messages it answered with."""
    if attributes.get(RESULT) is not None:
        return read_documents(attributes[RESULT])
    said = [document for message in outputs for part in message["parts"] for document in _read_part(part)]
    return said[:MAX_DOCUMENTS]


@lru_cache(maxsize=1_024)
def _says_so(name: str) -> bool:
    return any(word.lower() in _LOOKING_UP for word in _WORD.findall(name))


def _read_part(part: Mapping[str, Any]) -> list[Document]:
    kind = part.get("type")
    if kind == "text":
        return read_documents(part.get("content"))
    if kind != "tool_call_response":
        return []
    response = part.get("response")
    if isinstance(response, list) and all(isinstance(one, dict) and "type" in one for one in response):
        return [document for one in response for document in _read_part(one)]
    return read_documents(response)
