"""Semantic Kernel: the GenAI conventions with names of its own for two things.

Finish reasons come under ``gen_ai.response.finish_reason``, one for each answer with commas between, as Python prints
them (``FinishReason.STOP``); completions have the operation ``text_completions``. Messages are on span events or in
logs. Source: semantic-kernel 1.45 for Python; for .NET its documentation.
"""

from __future__ import annotations

from collector.dialects.otel_genai import FINISH_REASON, OPERATION
from collector.dialects.reading import Dialect, Reading, Shape, first_text
from collector.otlp.spans import RawSpan

_SCOPES = ("semantic_kernel", "Microsoft.SemanticKernel")
_COMPLETIONS = frozenset({"text_completions", "text.completions"})


def detect(shape: Shape) -> bool:
    """Return whether Semantic Kernel made the span."""
    return shape.scope.startswith(_SCOPES) or "sk.available_functions" in shape.keys


def read(span: RawSpan) -> Reading:
    """Return the operation and the finish reasons, where they have names of Semantic Kernel's own."""
    told = first_text(span.attributes, (FINISH_REASON,))
    reasons = [part.strip().rpartition(".")[2].lower()[:64] for part in told.split(",")] if told else []
    return Reading(
        operation="text_completion" if first_text(span.attributes, (OPERATION,)) in _COMPLETIONS else None,
        finish_reasons=[reason for reason in reasons if reason not in ("", "none")] or None,
    )


DIALECT = Dialect("semantic_kernel", detect, read)
