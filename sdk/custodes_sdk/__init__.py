"""Typed client for a Custodes server."""

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

__all__ = [
    "Client",
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
]
