"""Our own attributes: what ``custodes_sdk.context`` puts on the spans of any instrumentation.

``custodes.documents`` is a JSON list of texts, or of objects with ``content`` and optionally ``id`` and
``score``. The resource attribute ``custodes.deployment`` names the deployment and is read by ``normalise``.
"""

from __future__ import annotations

from collector.dialects.documents import read_documents
from collector.dialects.reading import Dialect, Reading, Shape
from collector.otlp.spans import RawSpan

DOCUMENTS = "custodes.documents"
DEPLOYMENT = "custodes.deployment"


def detect(shape: Shape) -> bool:
    """Return whether the span carries documents of ours."""
    return DOCUMENTS in shape.keys


def read(span: RawSpan) -> Reading:
    """Return the documents the application named."""
    return Reading(retrieved_documents=read_documents(span.attributes.get(DOCUMENTS)) or None)


DIALECT = Dialect("custodes", detect, read, consumed=frozenset({DOCUMENTS}))
