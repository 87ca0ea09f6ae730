"""The LangSmith SDK with its OpenTelemetry output: a wrapped openai client and a traced retriever.

The address and the kind of output are set here; LANGSMITH_API_KEY must not matter.
"""

from __future__ import annotations

import os
from functools import partial

from scenario import DOCUMENTS, QUESTION, SESSION, USER, chat, connect, fail, otlp_url, respond, run, stream, tools

os.environ["LANGSMITH_OTEL_ENABLED"] = "true"
os.environ["LANGSMITH_OTEL_ONLY"] = "true"
os.environ["LANGSMITH_TRACING"] = "true"
os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = otlp_url()

from langsmith import Client, traceable
from langsmith.wrappers import wrap_openai

langsmith = Client(api_key="test-key", api_url=otlp_url())
client = wrap_openai(connect())
who = {"langsmith_extra": {"metadata": {"session_id": SESSION, "user_id": USER}, "client": langsmith}}


@traceable(run_type="retriever", client=langsmith)
def find_documents(question: str) -> list[dict[str, object]]:
    """Return what the next answer rests on."""
    return [{"page_content": text, "type": "Document", "metadata": {"asked": question}} for text in DOCUMENTS]


@traceable(run_type="chain", client=langsmith)
def answer(question: str) -> str:
    """Retrieve, then ask."""
    find_documents(question)
    return chat(client, **who)


run(
    {
        "chat": partial(chat, client, **who),
        "stream": partial(stream, client, **who),
        "tools": partial(tools, client, **who),
        "responses": partial(respond, client, **who),
        "fail": partial(fail, client, **who),
        "retrieval": partial(answer, QUESTION),
    }
)
langsmith.flush()
