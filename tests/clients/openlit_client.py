"""The openai client under OpenLIT."""

from __future__ import annotations

from functools import partial

import openlit
from scenario import USER, chat, connect, otlp_url, run, stream, tools

openlit.init(otlp_endpoint=otlp_url(), disable_metrics=True, disable_batch=True, environment="test")
client = connect()
run(
    {
        "chat": partial(chat, client, user=USER),
        "stream": partial(stream, client, user=USER),
        "tools": partial(tools, client, user=USER),
    }
)
