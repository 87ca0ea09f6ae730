"""An agent of the OpenAI Agents SDK, by chat completions: an answer, and one for which it calls a tool first.

Environment: INSTRUMENTATION=openinference, or logfire for Logfire's.
"""

from __future__ import annotations

import asyncio
import os

from agents import (
    Agent,
    Runner,
    function_tool,
    set_default_openai_api,
    set_default_openai_client,
    set_trace_processors,
    trace,
)
from openai import AsyncOpenAI
from openinference.instrumentation import using_attributes
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from scenario import MODEL, QUESTION, SESSION, SYSTEM, TOOL_RESULT, USER, connect, otlp_url, run

# Without this the SDK sends its traces to its maker.
set_trace_processors([])
if os.environ["INSTRUMENTATION"] == "logfire":
    import logfire

    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = otlp_url()
    logfire.configure(send_to_logfire=False, console=False, inspect_arguments=False, metrics=False)
    logfire.instrument_openai_agents()
    finish = logfire.shutdown
else:
    from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{otlp_url()}/v1/traces")))
    OpenAIAgentsInstrumentor().instrument(tracer_provider=provider)
    finish = provider.shutdown
set_default_openai_client(connect(AsyncOpenAI), use_for_tracing=False)
set_default_openai_api("chat_completions")


@function_tool
def look_up_hours(place: str) -> str:
    """Look up opening hours."""
    return TOOL_RESULT


def ask(*tools: object) -> None:
    """Let an agent with these tools answer."""
    agent = Agent(name="Helper", instructions=SYSTEM, model=MODEL, tools=list(tools))
    with trace("help", group_id=SESSION):
        asyncio.run(Runner.run(agent, QUESTION))


with using_attributes(session_id=SESSION, user_id=USER):
    run({"chat": ask, "tools": lambda: ask(look_up_hours)})
finish()
