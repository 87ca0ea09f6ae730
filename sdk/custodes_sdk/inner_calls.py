"""Which model calls happened inside a function that is itself recorded as an exchange.

A function around an instrumented client would otherwise count twice: once as the function, once as the client's call.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Span

_MOST = 256
_CALLS = frozenset({"chat", "text_completion", "generate_content"})


class InnerSpans:
    """The spans begun inside one exchange; the first 256 of them."""

    def __init__(self) -> None:
        self._spans: list[Any] = []

    def add(self, span: Any) -> None:
        """Note a span that has just begun."""
        if len(self._spans) < _MOST:
            self._spans.append(span)

    def hold_a_call(self) -> bool:
        """Return whether one of them is a model call, by what it says now that it has ended or is under way."""
        return any(_is_call(span) for span in self._spans)


_ENCLOSING: ContextVar[InnerSpans | None] = ContextVar("custodes_inner_spans", default=None)


def note_span(span: Span) -> None:
    """Note a span with the exchange around it, if there is one."""
    enclosing = _ENCLOSING.get()
    if enclosing is not None:
        enclosing.add(span)


@contextmanager
def enclosed_by(spans: InnerSpans) -> Iterator[None]:
    """Let spans that begin inside be noted with ``spans``."""
    token = _ENCLOSING.set(spans)
    try:
        yield
    finally:
        with suppress(ValueError):  # Closed from another context.
            _ENCLOSING.reset(token)


def _is_call(span: Any) -> bool:
    attributes = getattr(span, "attributes", None) or {}
    if attributes.get("gen_ai.operation.name") in _CALLS or attributes.get("openinference.span.kind") == "LLM":
        return True
    # OpenLLMetry of before the operation name, which every one of its calls carries.
    return attributes.get("llm.request.type") in ("chat", "completion")
