"""The openai client under opentelemetry-instrumentation-genai-openai.

Environment: OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only for text on spans, event_only for text in log
events, which are then sent before the spans; OTLP=grpc for that transport, the base URL then being the gRPC server's.
"""

from __future__ import annotations

import os
from functools import partial

from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from scenario import chat, connect, fail, otlp_url, respond, run, stream, tools

exporter: SpanExporter
log_exporter: LogRecordExporter
if os.environ.get("OTLP") == "grpc":
    exporter = GrpcSpanExporter(endpoint=otlp_url(), insecure=True)
    log_exporter = GrpcLogExporter(endpoint=otlp_url(), insecure=True)
else:
    exporter = HttpSpanExporter(endpoint=f"{otlp_url()}/v1/traces")
    log_exporter = HttpLogExporter(endpoint=f"{otlp_url()}/v1/logs")
resource = Resource.create({"service.version": "3.1"})
provider = TracerProvider(resource=resource)
provider.add_span_processor(BatchSpanProcessor(exporter))
logs = LoggerProvider(resource=resource)
logs.add_log_record_processor(BatchLogRecordProcessor(log_exporter))
OpenAIInstrumentor().instrument(tracer_provider=provider, logger_provider=logs)
client = connect()
run(
    {
        "chat": partial(chat, client),
        "stream": partial(stream, client),
        "tools": partial(tools, client),
        "responses": partial(respond, client),
        "fail": partial(fail, client),
    }
)
logs.shutdown()
provider.shutdown()
