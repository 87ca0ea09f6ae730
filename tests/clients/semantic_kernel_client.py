"""A Semantic Kernel chat completion with its own telemetry.

Environment: SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS_SENSITIVE=true; text travels as log events.
"""

from __future__ import annotations

import asyncio
import logging

from openai import AsyncOpenAI
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from scenario import MODEL, QUESTION, SYSTEM, TOOL_RESULT, openai_url, otlp_url, run
from semantic_kernel import Kernel
from semantic_kernel.connectors.ai import FunctionChoiceBehavior
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion, OpenAIChatPromptExecutionSettings
from semantic_kernel.contents import ChatHistory
from semantic_kernel.functions import kernel_function

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{otlp_url()}/v1/traces")))
trace.set_tracer_provider(provider)
logs = LoggerProvider()
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=f"{otlp_url()}/v1/logs")))
logging.getLogger("semantic_kernel").addHandler(LoggingHandler(logger_provider=logs))
logging.getLogger("semantic_kernel").setLevel(logging.INFO)
service = OpenAIChatCompletion(
    ai_model_id=MODEL, async_client=AsyncOpenAI(base_url=openai_url(), api_key="test-key", max_retries=0)
)


class Hours:
    """The tool the model may call."""

    @kernel_function(name="look_up_hours", description="Look up opening hours.")
    def look_up_hours(self, place: str) -> str:
        """Look up opening hours."""
        return TOOL_RESULT if place else ""


def history() -> ChatHistory:
    """The conversation so far."""
    asked = ChatHistory(system_message=SYSTEM)
    asked.add_user_message(QUESTION)
    return asked


def chat() -> None:
    """One plain completion."""
    asyncio.run(service.get_chat_message_content(history(), OpenAIChatPromptExecutionSettings()))


def stream() -> None:
    """One streamed completion, read to its end."""

    async def read() -> None:
        async for _ in service.get_streaming_chat_message_content(history(), OpenAIChatPromptExecutionSettings()):
            pass

    asyncio.run(read())


def tools() -> None:
    """A completion during which the kernel calls a function for the model."""
    kernel = Kernel()
    kernel.add_plugin(Hours(), plugin_name="hours")
    settings = OpenAIChatPromptExecutionSettings(function_choice_behavior=FunctionChoiceBehavior.Auto())
    asyncio.run(service.get_chat_message_content(history(), settings, kernel=kernel))


run({"chat": chat, "stream": stream, "tools": tools})
provider.shutdown()
logs.shutdown()
