"""A LangChain chain under OpenInference: a retriever, a prompt and a chat model; streamed and with a tool as well."""

from __future__ import annotations

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from openinference.instrumentation import using_attributes
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from scenario import DOCUMENTS, MODEL, QUESTION, SESSION, SYSTEM, TOOL_RESULT, TOOLS, USER, openai_url, otlp_url, run

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{otlp_url()}/v1/traces")))
LangChainInstrumentor().instrument(tracer_provider=provider)
model = ChatOpenAI(model=MODEL, base_url=openai_url(), api_key="test-key", max_retries=0, stream_usage=True)
asked = [SystemMessage(SYSTEM), HumanMessage(QUESTION)]


class Shelf(BaseRetriever):
    """Always finds the same documents."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document(text, metadata={"asked": query}) for text in DOCUMENTS]


def retrieve_and_ask() -> None:
    """Retrieve, then ask, in one chain."""
    chain = Shelf() | RunnableLambda(lambda _: asked) | model
    chain.invoke(QUESTION)


def stream() -> None:
    """One answer read as it comes."""
    for _ in model.stream(asked):
        pass


def tools() -> None:
    """A tool call and the answer that follows it."""
    handy = model.bind_tools(TOOLS)
    first = handy.invoke(asked)
    handy.invoke([*asked, first, ToolMessage(TOOL_RESULT, tool_call_id=first.tool_calls[0]["id"])])


with using_attributes(session_id=SESSION, user_id=USER):
    run({"chat": lambda: model.invoke(asked), "stream": stream, "tools": tools, "retrieval": retrieve_and_ask})
provider.shutdown()
