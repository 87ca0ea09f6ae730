"""An agent of Google's ADK: an answer, and one for which the model calls a tool first. The model is a stand-in here.

Environment: ADK_TELEMETRY_SCHEMA_VERSION_OPT_IN=1 gives the older spans, with ``call_llm``; without it,
OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY puts text on the newer ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import InMemoryRunner
from google.genai import types
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from scenario import MODEL, QUESTION, SESSION, SYSTEM, TOOL_NAME, TOOL_RESULT, USER, otlp_url, run

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{otlp_url()}/v1/traces")))
trace.set_tracer_provider(provider)
ANSWER = "The warehouse opens at nine."


class StandIn(BaseLlm):
    """Answers as the mock server does: with a call where tools are given and none has answered yet."""

    async def generate_content_async(self, llm_request: Any, stream: bool = False) -> AsyncIterator[LlmResponse]:
        parts = [part for content in llm_request.contents for part in content.parts]
        if llm_request.tools_dict and not any(part.function_response for part in parts):
            call = types.FunctionCall(id="call_1", name=TOOL_NAME, args={"place": "warehouse"})
            yield answer(types.Part(function_call=call), 33, 12)
        else:
            yield answer(types.Part(text=ANSWER), 21, 7)


def answer(part: types.Part, asked: int, said: int) -> LlmResponse:
    """Return a response of one part with these token counts."""
    usage = types.GenerateContentResponseUsageMetadata(
        prompt_token_count=asked, candidates_token_count=said, total_token_count=asked + said
    )
    content = types.Content(role="model", parts=[part])
    return LlmResponse(content=content, finish_reason="STOP", usage_metadata=usage)


def look_up_hours(place: str) -> str:
    """Look up opening hours."""
    return TOOL_RESULT if place else ""


async def ask(*known: Any) -> None:
    """Give one question to a new agent that knows these tools."""
    agent = LlmAgent(name="bot", model=StandIn(model=MODEL), static_instruction=SYSTEM, tools=list(known))
    runner = InMemoryRunner(agent=agent, app_name="shop")
    await runner.session_service.create_session(app_name="shop", user_id=USER, session_id=SESSION)
    question = types.Content(role="user", parts=[types.Part(text=QUESTION)])
    async for _ in runner.run_async(user_id=USER, session_id=SESSION, new_message=question):
        pass


run({"chat": lambda: asyncio.run(ask()), "tools": lambda: asyncio.run(ask(look_up_hours))})
provider.shutdown()
