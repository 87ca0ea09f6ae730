"""LiteLLM's own OpenTelemetry callback.

Environment: LITELLM_OTEL_V2=true for its second generation, which needs
OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only to send text.
"""

from __future__ import annotations

import asyncio
import os

from scenario import MESSAGES, MODEL, SESSION, TOOL_NAME, TOOL_RESULT, TOOLS, USER, openai_url, otlp_url, run

os.environ["OTEL_EXPORTER"] = "otlp_http"
os.environ["OTEL_ENDPOINT"] = f"{otlp_url()}/v1/traces"
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

litellm.callbacks = ["otel"]
where = {"model": f"openai/{MODEL}", "api_base": openai_url(), "api_key": "test-key", "num_retries": 0}


def who() -> dict[str, object]:
    """Who asks. LiteLLM notes in the metadata that it has logged a call, so every call gets its own."""
    return {"user": USER, "metadata": {"session_id": SESSION, "user_id": USER}}


async def wait_for_callbacks() -> None:
    """Let LiteLLM hand the call over to its worker, which it does some time after the answer, and empty the worker."""
    await asyncio.sleep(0.5)
    await GLOBAL_LOGGING_WORKER.flush()


async def chat() -> None:
    """One plain completion."""
    await litellm.acompletion(messages=MESSAGES, **where, **who())
    await wait_for_callbacks()


async def stream() -> None:
    """One streamed completion, read to its end."""
    options = {"include_usage": True}
    chunks = await litellm.acompletion(messages=MESSAGES, stream=True, stream_options=options, **where, **who())
    async for _ in chunks:
        pass
    await wait_for_callbacks()


async def tools() -> None:
    """A completion that calls a tool, and a second one that gets the tool's result."""
    first = await litellm.acompletion(messages=MESSAGES, tools=TOOLS, **where, **who())
    call = first.choices[0].message.tool_calls[0]
    function = {"name": TOOL_NAME, "arguments": call.function.arguments}
    asked = {"role": "assistant", "tool_calls": [{"id": call.id, "type": "function", "function": function}]}
    told = {"role": "tool", "tool_call_id": call.id, "content": TOOL_RESULT}
    await litellm.acompletion(messages=[*MESSAGES, asked, told], tools=TOOLS, **where, **who())
    await wait_for_callbacks()


run(
    {
        "chat": lambda: asyncio.run(chat()),
        "stream": lambda: asyncio.run(stream()),
        "tools": lambda: asyncio.run(tools()),
    }
)
