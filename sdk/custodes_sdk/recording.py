"""One exchange as a span, in the GenAI conventions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from custodes_sdk.inner_calls import InnerSpans, enclosed_by
from custodes_sdk.sending.quiet import QuietLog
from custodes_sdk.state import running
from custodes_sdk.texts import answer_to_text, chunk_to_text

MAX_TEXT_CHARACTERS = 1_000_000


class Recording:
    """A span around one call of a function. Nothing in here raises into the call.

    When a model call of an instrumented client happened inside, the span is an ``invoke_workflow`` without texts: the
    inner call is the exchange, and it is counted once.
    """

    def __init__(self, name: str, *, model: str | None, provider: str | None, prompt: str | None) -> None:
        self._inner = InnerSpans()
        self._log = QuietLog()
        self._name = name
        self._model = model
        self._provider = provider
        self._prompt = prompt
        self._pieces: list[str] = []
        self._size = 0
        self._answer: str | None = None
        self._ended = False
        self._span: Span = trace.INVALID_SPAN
        with self._safely():
            self._span = _tracer().start_span(f"chat {model or name}", kind=SpanKind.INTERNAL)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make the span the current one, for one stretch of the call."""
        current = trace.use_span(self._span, record_exception=False, set_status_on_exception=False)
        with current, enclosed_by(self._inner):
            yield

    def chunk(self, chunk: object) -> None:
        """Note a piece of a streamed answer."""
        with self._safely():
            text = chunk_to_text(chunk)
            if text and self._size < MAX_TEXT_CHARACTERS:
                self._pieces.append(text)
                self._size += len(text)

    def answer(self, value: object) -> None:
        """Note a whole answer."""
        with self._safely():
            self._answer = answer_to_text(value)

    def failed(self, error: BaseException) -> None:
        """Note that the call raised; the message is not kept, because it may quote a prompt."""
        with self._safely():
            self._span.set_attribute("error.type", type(error).__qualname__)
            self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        """Write what was noted and end the span, once."""
        if self._ended:
            return
        self._ended = True
        with self._safely():
            try:
                self._write()
            finally:
                self._span.end()

    def _write(self) -> None:
        attributes: dict[str, Any] = {"custodes.exchange": self._name}
        if self._inner.hold_a_call():
            attributes["gen_ai.operation.name"] = "invoke_workflow"
            self._span.update_name(f"invoke_workflow {self._name}")
            self._span.set_attributes(attributes)
            return
        attributes["gen_ai.operation.name"] = "chat"
        named = {"gen_ai.request.model": self._model, "gen_ai.provider.name": self._provider}
        attributes |= {name: value for name, value in named.items() if value}
        answer = self._answer if self._answer is not None else "".join(self._pieces)
        now = running()
        if now is not None and now.capture_text:
            if self._prompt:
                attributes["gen_ai.input.messages"] = _message("user", self._prompt)
            if answer:
                attributes["gen_ai.output.messages"] = _message("assistant", answer)
        self._span.set_attributes(attributes)

    @contextmanager
    def _safely(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # The host's call matters more than its record.
            self._log.caution("cannot record a call of %s: %s", self._name, type(error).__name__)


def current_trace_id() -> str | None:
    """Return the trace this code runs in, 32 lower-case hex characters; ``None`` outside of every span."""
    here = trace.get_current_span().get_span_context()
    return trace.format_trace_id(here.trace_id) if here.is_valid else None


def _tracer() -> trace.Tracer:
    now = running()
    provider = trace.get_tracer_provider() if now is None else now.provider
    tracer: trace.Tracer = provider.get_tracer("custodes_sdk")
    return tracer


def _message(role: str, text: str) -> str:
    part = {"type": "text", "content": text[:MAX_TEXT_CHARACTERS]}
    return json.dumps([{"role": role, "parts": [part]}], ensure_ascii=False)
