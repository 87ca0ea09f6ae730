"""The environment variables the SDK reads. All begin with ``CUSTODES_SDK_``, which the server leaves alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "CUSTODES_SDK_"
NAMES = ("ENDPOINT", "KEY", "SERVICE", "DEPLOYMENT", "ENVIRONMENT", "CAPTURE_TEXT", "MAX_BODY_BYTES")
"""Every variable there is, without the prefix."""

DEFAULT_ENDPOINT = "http://127.0.0.1:4318"
DEFAULT_GRPC_ENDPOINT = "http://127.0.0.1:4317"
# A streamed token takes some 250 bytes on the wire, so an answer of 30,000 tokens fits.
DEFAULT_MAX_BODY_BYTES = 8 * 1024 * 1024
_NO = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class SdkEnvironment:
    """What the environment says; an empty variable counts as unset.

    ``max_body_bytes`` bounds the request and the response that the vLLM middleware captures, each.
    """

    endpoint: str | None = None
    key: str | None = None
    service: str | None = None
    deployment: str | None = None
    environment: str | None = None
    capture_text: bool = True
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES


def read_environment(variables: Mapping[str, str] | None = None) -> SdkEnvironment:
    """Return the settings of ``variables``, the process's own by default. A number that is none is the default."""
    found = os.environ if variables is None else variables

    def text(name: str) -> str | None:
        return found.get(PREFIX + name, "").strip() or None

    size = text("MAX_BODY_BYTES") or ""
    return SdkEnvironment(
        endpoint=text("ENDPOINT"),
        key=text("KEY"),
        service=text("SERVICE"),
        deployment=text("DEPLOYMENT"),
        environment=text("ENVIRONMENT"),
        capture_text=(text("CAPTURE_TEXT") or "true").lower() not in _NO,
        max_body_bytes=int(size) if size.isascii() and size.isdigit() and int(size) else DEFAULT_MAX_BODY_BYTES,
    )
