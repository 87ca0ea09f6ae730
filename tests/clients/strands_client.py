"""A Strands agent: an answer, and one for which the model calls a tool first. Strands always streams.

Environment: OTEL_SEMCONV_STABILITY_OPT_IN chooses between the older span events and the current attributes.
"""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from scenario import MODEL, QUESTION, SESSION, SYSTEM, TOOL_RESULT, USER, openai_url, otlp_url, run
from strands import Agent, tool
from strands.models.openai import OpenAIModel

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{otlp_url()}/v1/traces")))
trace.set_tracer_provider(provider)
model = OpenAIModel(client_args={"base_url": openai_url(), "api_key": "test-key"}, model_id=MODEL)
who = {"session.id": SESSION, "user.id": USER}


@tool
def look_up_hours(place: str) -> str:
    """Look up opening hours."""
    return TOOL_RESULT if place else ""


def ask(*known: object) -> None:
    """Give one question to a new agent that knows these tools."""
    Agent(model=model, system_prompt=SYSTEM, tools=list(known), trace_attributes=who, callback_handler=None)(QUESTION)


run({"chat": ask, "tools": lambda: ask(look_up_hours)})
provider.shutdown()
