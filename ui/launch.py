"""How the console process is started, and how it learns where the API is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

DEFAULT_API_URL = "http://127.0.0.1:4318"

_API_URL_FLAG = "--api-url"


def streamlit_arguments(host: str, port: int, api_url: str) -> list[str]:
    """Return the arguments for ``python -m streamlit`` that serve the console at ``host:port``.

    Everything else is in ``ui/.streamlit/config.toml``, which Streamlit reads because it lies beside ``app.py``.
    The ``ui`` package must be importable in that process.
    """
    return [
        "run",
        str(Path(__file__).with_name("app.py")),
        "--server.address",
        host,
        "--server.port",
        str(port),
        "--server.headless",
        "true",
        "--",
        _API_URL_FLAG,
        api_url,
    ]


def api_url_from(arguments: Sequence[str]) -> str:
    """Return the API address from a script's arguments, or the default when it is not among them."""
    for flag, value in pairwise(arguments):
        if flag == _API_URL_FLAG:
            return value
    return DEFAULT_API_URL
