"""A LangChain chain under OpenLLMetry: a retriever and a chat model; streamed as well.

OpenLLMetry takes session and user from what LangChain calls metadata.
"""

from __future__ import annotations

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.langchain import LangchainInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from scenario import DOCUMENTS, MODEL, QUESTION, SESSION, SYSTEM, USER, openai_url, otlp_url, run

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{otlp_url()}/v1/traces")))
LangchainInstrumentor().instrument(tracer_provider=provider)
model = ChatOpenAI(model=MODEL, base_url=openai_url(), api_key="test-key", max_retries=0, stream_usage=True)
asked = [SystemMessage(SYSTEM), HumanMessage(QUESTION)]
config = {"metadata": {"session_id": SESSION, "user_id": USER}}


class Shelf(BaseRetriever):
    """Always finds the same documents."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document(text) for text in DOCUMENTS]


def retrieve_and_ask() -> None:
    """Retrieve, then ask, in one chain."""
    chain = Shelf() | RunnableLambda(lambda _: asked) | model
    chain.invoke(QUESTION, config=config)


def stream() -> None:
    """One answer read as it comes."""
    for _ in model.stream(asked, config=config):
        pass


run({"chat": lambda: model.invoke(asked, config=config), "stream": stream, "retrieval": retrieve_and_ask})
provider.shutdown()
