"""MLflow's tracing SDK: autologged openai calls and a retriever, sent to an OTLP endpoint instead of a tracking server.

Environment: MLFLOW_ENABLE_OTEL_GENAI_SEMCONV=true for the OpenTelemetry names.
"""

from __future__ import annotations

import os
from functools import partial

from scenario import DOCUMENTS, QUESTION, SESSION, USER, chat, connect, fail, otlp_url, respond, run, stream, tools

os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = f"{otlp_url()}/v1/traces"
os.environ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] = "http/protobuf"

import mlflow
from mlflow.entities import Document, SpanType

# Without an address the SDK looks for a local database, which needs packages that it does not bring.
mlflow.set_tracking_uri(otlp_url())
mlflow.openai.autolog()
client = connect()


@mlflow.trace(span_type=SpanType.RETRIEVER)
def find_documents(question: str) -> list[Document]:
    """Return what the next answer rests on."""
    return [Document(page_content=text, metadata={"asked": question}) for text in DOCUMENTS]


@mlflow.trace(span_type=SpanType.CHAIN)
def answer(question: str) -> str:
    """Retrieve, then ask, for a known user."""
    mlflow.update_current_trace(metadata={"mlflow.trace.session": SESSION, "mlflow.trace.user": USER})
    find_documents(question)
    return chat(client)


run(
    {
        "chat": partial(chat, client),
        "stream": partial(stream, client),
        "tools": partial(tools, client),
        "responses": partial(respond, client),
        "fail": partial(fail, client),
        "retrieval": partial(answer, QUESTION),
    }
)
mlflow.flush_trace_async_logging()
