"""A Pydantic AI agent: an answer, a streamed one, and one for which the model calls a tool first."""

from __future__ import annotations

import asyncio

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from pydantic_ai import Agent
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from scenario import MODEL, QUESTION, SESSION, SYSTEM, TOOL_RESULT, openai_url, otlp_url, run

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{otlp_url()}/v1/traces")))
Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))
model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=openai_url(), api_key="test-key"))
plain = Agent(model, instructions=SYSTEM, name="helper")
handy = Agent(model, instructions=SYSTEM, name="helper")


@handy.tool_plain
def look_up_hours(place: str) -> str:
    """Look up opening hours."""
    return TOOL_RESULT if place else ""


def chat() -> None:
    """One run of the agent."""
    plain.run_sync(QUESTION, conversation_id=SESSION)


def stream() -> None:
    """One run whose answer is read as it comes."""

    async def read() -> None:
        async with plain.run_stream(QUESTION, conversation_id=SESSION) as result:
            async for _ in result.stream_text():
                pass

    asyncio.run(read())


def tools() -> None:
    """One run with a tool call."""
    handy.run_sync(QUESTION, conversation_id=SESSION)


run({"chat": chat, "stream": stream, "tools": tools})
provider.shutdown()
