"""Run the real openai client under openinference-instrumentation-openai; a program of its own.

Arguments: OTLP base URL, OpenAI base URL.
"""

from __future__ import annotations

import sys

from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam
from openinference.instrumentation import using_attributes
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

MESSAGES: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "When does the warehouse open?"},
]


def main() -> None:
    """One plain and one streamed completion, with session and user."""
    provider = TracerProvider(resource=Resource.create({"service.name": "openinference-client"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{sys.argv[1]}/v1/traces")))
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    client = OpenAI(base_url=sys.argv[2], api_key="test-key", max_retries=0)
    with using_attributes(session_id="s-42", user_id="u-7"):
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
        stream = client.chat.completions.create(
            model="gpt-4o-mini", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        for _ in stream:
            pass
    provider.shutdown()


main()
