"""A LiveKit agent without a room: a typed turn with an answer, and one for which the model calls a tool first."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit.agents import Agent, AgentSession, function_tool
from livekit.agents.telemetry import set_tracer_provider
from livekit.plugins.openai import LLM
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from scenario import MODEL, QUESTION, SYSTEM, TOOL_RESULT, openai_url, otlp_url, run

provider = TracerProvider()
exporter = OTLPSpanExporter(endpoint=f"{otlp_url()}/v1/traces")
provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=60_000))
set_tracer_provider(provider)


@function_tool
async def look_up_hours(place: str) -> str:
    """Look up opening hours."""
    return TOOL_RESULT if place else ""


async def ask(*known: Any) -> None:
    """Give one question to a new session whose agent knows these tools."""
    session: Any = AgentSession(llm=LLM(model=MODEL, base_url=openai_url(), api_key="test-key"))
    await session.start(Agent(instructions=SYSTEM, tools=list(known)))
    await session.run(user_input=QUESTION)
    await session.aclose()


run({"chat": lambda: asyncio.run(ask()), "tools": lambda: asyncio.run(ask(look_up_hours))})
provider.shutdown()
