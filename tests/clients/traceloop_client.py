"""The Traceloop SDK: workflows, a task, an agent's tool and association properties around instrumented openai calls.

Environment: OTEL_SERVICE_NAME and TRACELOOP_API_KEY.
"""

from __future__ import annotations

import os
from functools import partial

from scenario import DOCUMENTS, QUESTION, SESSION, TOOL_RESULT, USER, chat, connect, fail, otlp_url, run, stream, tools
from traceloop.sdk import Traceloop
from traceloop.sdk.decorators import task, tool, workflow
from traceloop.sdk.instruments import Instruments

Traceloop.init(
    app_name=os.environ["OTEL_SERVICE_NAME"],
    api_endpoint=otlp_url(),
    instruments={Instruments.OPENAI},
    telemetry_enabled=False,
)
client = connect()


@task(name="find-documents")
def find_documents(question: str) -> list[str]:
    """Look something up, as a step of the workflow."""
    return [f"{text} ({question})" for text in DOCUMENTS]


@tool(name="look_up_hours")
def look_up_hours(place: str) -> str:
    """Look up opening hours."""
    return TOOL_RESULT if place else ""


@workflow(name="answer-question")
def answer(question: str) -> str:
    """Look up, then ask, for a known user in a known session."""
    Traceloop.set_association_properties({"session_id": SESSION, "user_id": USER})
    find_documents(question)
    look_up_hours("warehouse")
    return chat(client)


@workflow(name="stream-answer")
def stream_answer() -> None:
    """Ask and read the answer as it comes."""
    Traceloop.set_association_properties({"session_id": SESSION, "user_id": USER})
    stream(client)


@workflow(name="use-tools")
def use_tools() -> None:
    """Ask a model that calls a tool."""
    Traceloop.set_association_properties({"session_id": SESSION, "user_id": USER})
    tools(client)


@workflow(name="be-refused")
def be_refused() -> None:
    """Ask a model that refuses."""
    Traceloop.set_association_properties({"session_id": SESSION, "user_id": USER})
    fail(client)


run({"chat": partial(answer, QUESTION), "stream": stream_answer, "tools": use_tools, "fail": be_refused})
