"""OpenLLMetry's instrumentations of a vector store and of the openai client, in one span of the application's own."""

from __future__ import annotations

import chromadb
from chromadb.config import Settings
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.chromadb import ChromaInstrumentor
from opentelemetry.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from scenario import DOCUMENTS, chat, connect, otlp_url, run

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{otlp_url()}/v1/traces")))
ChromaInstrumentor().instrument(tracer_provider=provider)
OpenAIInstrumentor().instrument(tracer_provider=provider)
client = connect()
shelf = chromadb.EphemeralClient(Settings(anonymized_telemetry=False)).create_collection("shelf")


def retrieve_and_ask() -> None:
    """Find documents by a vector, then ask."""
    shelf.add(ids=["0", "1"], embeddings=[[1.0, 0.0], [0.0, 1.0]], documents=list(DOCUMENTS))
    with provider.get_tracer("application").start_as_current_span("answer"):
        shelf.query(query_embeddings=[[0.9, 0.1]], query_texts=None, n_results=2)
        chat(client)


run({"retrieval": retrieve_and_ask})
provider.shutdown()
