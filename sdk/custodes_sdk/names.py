"""Where each public name lives, and its import at first use (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from types import MappingProxyType
from typing import Any

PACKAGE = "custodes_sdk"
HOMES = MappingProxyType(
    {
        **dict.fromkeys(("init", "flush", "shutdown", "statistics", "Statistics"), "startup"),
        **dict.fromkeys(("context", "Place"), "surroundings"),
        **dict.fromkeys(
            (
                "Conflict",
                "CustodesSdkError",
                "Forbidden",
                "Invalid",
                "NotFound",
                "RateLimited",
                "ServerFailed",
                "ServerUnavailable",
                "Unauthorized",
                "UnexpectedResponse",
            ),
            "errors",
        ),
        "Client": "client",
        "Counts": "sending.outbox",
        "current_trace_id": "recording",
        "exchange": "exchanges",
        "feedback": "opinions",
    }
)
_NEED_OTEL = frozenset({"init", "flush", "shutdown", "statistics", "Statistics", "current_trace_id", "exchange"})


def __getattr__(name: str) -> Any:
    """Return a public name of the package, importing its module now."""
    if name == "vllm":
        return importlib.import_module(f"{PACKAGE}.vllm")
    home = HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {PACKAGE!r} has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(f"{PACKAGE}.{home}"), name)
    except ModuleNotFoundError as error:
        if name in _NEED_OTEL and (error.name or "").startswith("opentelemetry"):
            message = f"{PACKAGE}.{name} needs OpenTelemetry; install it with: pip install 'custodes-sdk[otel]'"
            raise ModuleNotFoundError(message, name=error.name) from error
        raise
    # Found as an ordinary attribute from now on.
    setattr(sys.modules[PACKAGE], name, value)
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(HOMES)
