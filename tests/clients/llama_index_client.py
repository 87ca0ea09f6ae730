"""A LlamaIndex query engine under OpenInference: a retriever and a chat model."""

from __future__ import annotations

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.llms.openai_like import OpenAILike
from openinference.instrumentation import using_attributes
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from scenario import DOCUMENTS, MESSAGES, MODEL, QUESTION, SESSION, USER, openai_url, otlp_url, run

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{otlp_url()}/v1/traces")))
LlamaIndexInstrumentor().instrument(tracer_provider=provider)
model = OpenAILike(model=MODEL, api_base=openai_url(), api_key="test-key", is_chat_model=True, max_retries=0)
asked = [ChatMessage(role=one["role"], content=one["content"]) for one in MESSAGES]


class Shelf(BaseRetriever):
    """Always finds the same documents."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(text=text), score=0.5) for text in DOCUMENTS]


def stream() -> None:
    """One answer read as it comes."""
    for _ in model.stream_chat(asked):
        pass


def retrieve_and_ask() -> None:
    """Retrieve, then ask, in one engine."""
    RetrieverQueryEngine.from_args(Shelf(), llm=model).query(QUESTION)


with using_attributes(session_id=SESSION, user_id=USER):
    run({"chat": lambda: model.chat(asked), "stream": stream, "retrieval": retrieve_and_ask})
provider.shutdown()
