"""What every client is made to say: one conversation, asked in several ways.

A client script is a program of its own that imports its instrumentation and nothing of Custodes. Arguments: the OTLP
base URL, the base URL of the OpenAI-compatible server, and the names of the scenarios to run (all without any).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from openai import OpenAI, OpenAIError

MODEL = "gpt-4o-mini"
BROKEN_MODEL = "gpt-broken"
SYSTEM = "You are a helpful assistant."
QUESTION = "When does the warehouse open?"
DOCUMENTS = ("The warehouse opens at nine on weekdays.", "Deliveries go through gate four.")
MESSAGES: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
TOOL_NAME = "look_up_hours"
TOOL_RESULT = "Open from nine to five."
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": TOOL_NAME,
            "description": "Look up opening hours.",
            "parameters": {
                "type": "object",
                "properties": {"place": {"type": "string"}},
                "required": ["place"],
            },
        },
    }
]
SESSION = "s-42"
USER = "u-7"

Scenario = Callable[[], object]


def otlp_url() -> str:
    """The base URL traces go to."""
    return sys.argv[1]


def openai_url() -> str:
    """The base URL of the model server."""
    return sys.argv[2]


def run(scenarios: Mapping[str, Scenario]) -> None:
    """Run the scenarios named on the command line; without any all but ``responses``, in the order given here.

    What clients tell of the responses API differs by client and is compared in recordings.
    """
    wanted = sys.argv[3:] or [name for name in scenarios if name != "responses"]
    for name in wanted:
        scenarios[name]()


def connect(make: Callable[..., Any] = OpenAI) -> Any:
    """Return a client of the model server; ``make`` is a wrapper's own class where it has one."""
    return make(base_url=openai_url(), api_key="test-key", max_retries=0)


def chat(client: Any, **more: Any) -> str:
    """One plain completion; return the answer."""
    done = client.chat.completions.create(model=MODEL, messages=MESSAGES, **more)
    return str(done.choices[0].message.content)


def stream(client: Any, **more: Any) -> None:
    """One streamed completion, read to its end."""
    options = {"include_usage": True}
    for _ in client.chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, stream_options=options, **more
    ):
        pass


def tools(client: Any, **more: Any) -> None:
    """A completion that calls a tool, and a second one that gets the tool's result."""
    first = client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=TOOLS, **more)
    call = first.choices[0].message.tool_calls[0]
    asked = {
        "role": "assistant",
        "tool_calls": [
            {"id": call.id, "type": "function", "function": {"name": TOOL_NAME, "arguments": call.function.arguments}}
        ],
    }
    told = {"role": "tool", "tool_call_id": call.id, "content": TOOL_RESULT}
    client.chat.completions.create(model=MODEL, messages=[*MESSAGES, asked, told], tools=TOOLS, **more)


def respond(client: Any, **more: Any) -> None:
    """One plain answer and one streamed one by the responses API."""
    asked = {"model": MODEL, "instructions": SYSTEM, "input": QUESTION}
    client.responses.create(**asked, **more)
    for _ in client.responses.create(stream=True, **asked, **more):
        pass


def fail(client: Any, **more: Any) -> None:
    """A completion that the server refuses."""
    try:
        client.chat.completions.create(model=BROKEN_MODEL, messages=MESSAGES, **more)
    except OpenAIError:
        return
    raise AssertionError(f"{BROKEN_MODEL} answered")
