"""Laminar's SDK around an OpenAI client that it instruments: an observed function and the calls in it."""

from __future__ import annotations

from urllib.parse import urlsplit

from lmnr import Instruments, Laminar, observe
from scenario import QUESTION, SESSION, USER, chat, connect, otlp_url, run, stream, tools

url = urlsplit(otlp_url())
Laminar.initialize(
    project_api_key="test-key",
    base_url=f"{url.scheme}://{url.hostname}",
    http_port=url.port,
    grpc_port=url.port,
    force_http=True,
    instruments={Instruments.OPENAI},
)
scenarios = {"chat": chat, "stream": stream, "tools": tools}


@observe(session_id=SESSION, user_id=USER)
def ask(question: str, scenario: str) -> object:
    """Run one scenario inside a span of the application's own."""
    return scenarios[scenario](connect()) if question else None


run({name: lambda name=name: ask(QUESTION, name) for name in scenarios})
Laminar.flush()
Laminar.shutdown()
