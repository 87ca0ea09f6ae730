"""The openai client under openinference-instrumentation-openai, beside a retriever span of the application's own."""

from __future__ import annotations

from functools import partial

from openinference.instrumentation import OITracer, TraceConfig, using_attributes
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from scenario import DOCUMENTS, QUESTION, SESSION, USER, chat, connect, fail, otlp_url, respond, run, stream, tools

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{otlp_url()}/v1/traces")))
OpenAIInstrumentor().instrument(tracer_provider=provider)
tracer = OITracer(provider.get_tracer("application"), TraceConfig())
client = connect()


def retrieve_and_ask() -> None:
    """Find documents, then ask, in one chain."""
    with tracer.start_as_current_span("answer", openinference_span_kind="chain"):
        with tracer.start_as_current_span("find-documents", openinference_span_kind="retriever") as span:
            span.set_input(QUESTION)
            for number, text in enumerate(DOCUMENTS):
                span.set_attribute(f"retrieval.documents.{number}.document.content", text)
        chat(client)


with using_attributes(session_id=SESSION, user_id=USER):
    run(
        {
            "chat": partial(chat, client),
            "stream": partial(stream, client),
            "tools": partial(tools, client),
            "responses": partial(respond, client),
            "fail": partial(fail, client),
            "retrieval": retrieve_and_ask,
        }
    )
provider.shutdown()
