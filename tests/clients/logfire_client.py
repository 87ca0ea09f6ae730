"""Logfire's instrumentation of the openai client, sending to any OTLP endpoint and not to Logfire."""

from __future__ import annotations

import os
from functools import partial

import logfire
from scenario import chat, connect, fail, otlp_url, respond, run, stream, tools

os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = otlp_url()
logfire.configure(send_to_logfire=False, console=False, service_version="1.0", inspect_arguments=False, metrics=False)
client = connect()
logfire.instrument_openai(client)
run(
    {
        "chat": partial(chat, client),
        "stream": partial(stream, client),
        "tools": partial(tools, client),
        "responses": partial(respond, client),
        "fail": partial(fail, client),
    }
)
logfire.shutdown()
