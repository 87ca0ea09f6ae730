"""Sends prompts and responses to a Custodes server, and reads what it says about them.

Names are imported when they are first used: the host pays for what it needs. See ``docs/sdk.md``.
"""

from custodes_sdk.names import __dir__ as __dir__
from custodes_sdk.names import __getattr__ as __getattr__

__all__ = [
    "Client",
    "Conflict",
    "Counts",
    "CustodesSdkError",
    "Forbidden",
    "Invalid",
    "NotFound",
    "Place",
    "RateLimited",
    "ServerFailed",
    "ServerUnavailable",
    "Statistics",
    "Unauthorized",
    "UnexpectedResponse",
    "context",
    "current_trace_id",
    "exchange",
    "feedback",
    "flush",
    "init",
    "shutdown",
    "statistics",
]
