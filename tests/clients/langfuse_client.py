"""The Langfuse SDK: its openai wrapper, its decorator, and a retriever whose documents a later answer uses.

Environment: LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY.
"""

from __future__ import annotations

import json
from functools import partial
from urllib.request import Request, urlopen

from langfuse import Langfuse, get_client, observe, propagate_attributes
from langfuse.openai import OpenAI
from scenario import (
    DOCUMENTS,
    MESSAGES,
    MODEL,
    QUESTION,
    SESSION,
    USER,
    chat,
    connect,
    fail,
    openai_url,
    otlp_url,
    respond,
    run,
    stream,
    tools,
)

langfuse = Langfuse(base_url=otlp_url())
client = connect(OpenAI)


@observe(as_type="retriever", name="find-documents")
def find_documents(question: str) -> list[dict[str, object]]:
    """Return what the next answer rests on."""
    return [{"content": text, "score": 0.5, "asked": question} for text in DOCUMENTS]


@observe(name="answer-question")
def answer(question: str) -> str:
    """Retrieve, then ask."""
    find_documents(question)
    return chat(client)


@observe(as_type="generation", name="own-model")
def generate(question: str) -> str:
    """A call that no wrapper sees, described by hand."""
    body = json.dumps({"model": MODEL, "messages": MESSAGES}).encode()
    request = Request(f"{openai_url()}/chat/completions", body, {"content-type": "application/json"})
    with urlopen(request, timeout=10) as answer:
        done = json.load(answer)
    usage = {"input": done["usage"]["prompt_tokens"], "output": done["usage"]["completion_tokens"]}
    get_client().update_current_generation(input=MESSAGES, model=done["model"], usage_details=usage)
    return str(done["choices"][0]["message"]["content"])


@observe(as_type="generation", name="wrapped-model")
def generate_around(question: str) -> str:
    """As above, around a call that the wrapper sees as well: both spans describe it."""
    text = chat(client)
    get_client().update_current_generation(
        input=MESSAGES, model=MODEL, usage_details={"input": 21, "output": 7}, metadata={"length": len(question)}
    )
    return text


with propagate_attributes(session_id=SESSION, user_id=USER):
    run(
        {
            "chat": partial(chat, client),
            "stream": partial(stream, client),
            "tools": partial(tools, client),
            "responses": partial(respond, client),
            "nested": partial(generate_around, QUESTION),
            "fail": partial(fail, client),
            "retrieval": partial(answer, QUESTION),
            "observe": partial(generate, QUESTION),
        }
    )
langfuse.shutdown()
