from custodes_sdk import vllm as vllm
from custodes_sdk.client import Client
from custodes_sdk.errors import (
    Conflict,
    CustodesSdkError,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    ServerFailed,
    ServerUnavailable,
    Unauthorized,
    UnexpectedResponse,
)
from custodes_sdk.exchanges import exchange
from custodes_sdk.opinions import feedback
from custodes_sdk.recording import current_trace_id
from custodes_sdk.sending.outbox import Counts
from custodes_sdk.startup import Statistics, flush, init, shutdown, statistics
from custodes_sdk.surroundings import Place, context

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
