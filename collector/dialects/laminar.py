"""Laminar: ``lmnr.*`` around the GenAI conventions.

Spans of the application's functions have the type ``DEFAULT`` and their arguments and result as input and output;
those of models have the type ``LLM``, or none where another instrumentation made them. Source: lmnr 0.8.
"""

from __future__ import annotations

from collector.dialects.messages import read_call_messages, read_json_messages
from collector.dialects.otel_genai import OPERATION
from collector.dialects.reading import Dialect, Reading, Shape, first_text
from collector.otlp.spans import RawSpan

TYPE = "lmnr.span.type"
INPUT = "lmnr.span.input"
OUTPUT = "lmnr.span.output"
_SCOPE = "lmnr.tracer"
_OPERATIONS = {"LLM": "chat", "CACHED": "chat", "TOOL": "execute_tool"}
_SESSION = ("lmnr.association.properties.session_id",)
_USER = ("lmnr.association.properties.user_id",)


def detect(shape: Shape) -> bool:
    """Return whether the span carries any of Laminar's attributes."""
    return shape.has_prefix("lmnr.") or shape.scope == _SCOPE


def read(span: RawSpan) -> Reading:
    """Return what the span says in ``lmnr.*``."""
    attributes = span.attributes
    kind = first_text(attributes, (TYPE,))
    operation = _OPERATIONS.get(kind.upper(), "span") if kind is not None else None
    if operation == "span" and OPERATION in attributes:
        operation = None
    read_side = read_json_messages if operation in (None, "chat") else read_call_messages
    asking, answering = ("tool", "tool") if operation == "execute_tool" else ("user", "assistant")
    return Reading(
        operation=operation,
        input_messages=read_side(attributes.get(INPUT), asking) or None,
        output_messages=read_side(attributes.get(OUTPUT), answering) or None,
        session_id=first_text(attributes, _SESSION),
        user_id=first_text(attributes, _USER),
    )


DIALECT = Dialect("laminar", detect, read, consumed=frozenset({INPUT, OUTPUT}))
