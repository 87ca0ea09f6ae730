"""The openai client under OpenLLMetry's instrumentation, of any version that has ``OpenAIInstrumentor``."""

from __future__ import annotations

from functools import partial

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from scenario import USER, chat, connect, fail, otlp_url, respond, run, stream, tools

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{otlp_url()}/v1/traces")))
OpenAIInstrumentor().instrument(tracer_provider=provider)
client = connect()
run(
    {
        "chat": partial(chat, client, user=USER),
        "stream": partial(stream, client, user=USER),
        "tools": partial(tools, client, user=USER),
        "responses": partial(respond, client, user=USER),
        "fail": partial(fail, client, user=USER),
    }
)
provider.shutdown()
