"""One question to an OpenAI-compatible server, under the rules that webhooks follow for where they may go.

The host is resolved once, every address is checked, and the connection goes to an address that passed
(``policies.hooks.address``). Redirects are not followed, proxies of the environment not used; an answer is read up
to a mebibyte and until a deadline.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import httpcore
import orjson

from policies.errors import EndpointError, UnresolvedError
from policies.hooks.address import AddressRules, Resolver, check_url, resolve_target, system_resolver
from policies.hooks.connection import PinnedBackend

MAX_ANSWER_BYTES: Final = 1 << 20
USER_AGENT: Final = "custodes-probe/1"
CONTENT_FILTER: Final = "content_filter"


@dataclass(frozen=True, slots=True)
class Answered:
    """What the model said. ``text`` is ``None`` when a filter withheld it; tokens ``None`` when nobody counted."""

    text: str | None
    finish_reason: str
    latency_ms: float
    tokens: int | None


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer that could be compared; ``reason`` names neither prompt nor answer."""

    reason: str


class ProbeClient:
    """Asks single questions. Stateless between questions and safe to share between threads."""

    def __init__(
        self,
        base_url: str,
        model: str,
        rules: AddressRules,
        *,
        api_key: str | None,
        max_output_tokens: int,
        timeout_s: float,
        resolver: Resolver = system_resolver,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._model = model
        self._rules = rules
        self._api_key = api_key
        self._max_output_tokens = max_output_tokens
        self._timeout_s = timeout_s
        self._resolver = resolver
        self._monotonic = monotonic
        self._ssl_context = ssl.create_default_context()

    def ask(self, prompt: str) -> Answered | Failed:
        """Return the answer to one prompt; never raises for anything the server does."""
        body = orjson.dumps(
            {
                "model": self._model,
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": self._max_output_tokens,
                "stream": False,
            }
        )
        try:
            addresses = resolve_target(self._url, self._rules, self._resolver)
        except EndpointError:
            return Failed(
                "CUSTODES_PROBE__URL is no https URL or leads to an address that must not be reached; if it is yours, "
                "see CUSTODES_PROBE__ALLOWED_PRIVATE_CIDRS and CUSTODES_PROBE__ALLOW_HTTP"
            )
        except UnresolvedError:
            return Failed("the host of CUSTODES_PROBE__URL does not resolve")
        began = self._monotonic()
        try:
            status, content = self._post(body, addresses)
        except httpcore.TimeoutException:
            return Failed(f"no complete answer within {self._timeout_s:g} s")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError) as error:
            return Failed(f"the connection failed: {type(error).__name__}")
        return read_answer(status, content, (self._monotonic() - began) * 1e3)

    def _post(self, body: bytes, addresses: list[str]) -> tuple[int, bytes]:
        backend = PinnedBackend(addresses, self._monotonic() + self._timeout_s, self._monotonic)
        headers = {
            "host": check_url(self._url).netloc,
            "content-type": "application/json",
            "content-length": str(len(body)),
            "accept": "application/json",
            "user-agent": USER_AGENT,
        }
        if self._api_key is not None:
            headers["authorization"] = f"Bearer {self._api_key}"
        pool = httpcore.ConnectionPool(
            ssl_context=self._ssl_context, max_keepalive_connections=0, retries=0, network_backend=backend
        )
        with pool, pool.stream("POST", self._url, headers=list(headers.items()), content=body) as response:
            parts, size = [], 0
            for chunk in response.iter_stream():
                parts.append(chunk)
                size += len(chunk)
                if size > MAX_ANSWER_BYTES:
                    break
            return response.status, b"".join(parts)


def read_answer(status: int, content: bytes, latency_ms: float) -> Answered | Failed:
    """Return what a response says. A filter that refuses the whole request is an answer: the request was refused."""
    if len(content) > MAX_ANSWER_BYTES:
        return Failed(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        return Failed(f"answered {status} without JSON")
    if status == 400 and _error_code(document) == CONTENT_FILTER:
        return Answered(None, CONTENT_FILTER, latency_ms, None)
    if status != 200:
        return Failed(f"answered {status}")
    try:
        choice = document["choices"][0]
        text, reason = choice["message"]["content"], choice["finish_reason"]
        refusal = choice["message"].get("refusal")
    except (KeyError, IndexError, TypeError, AttributeError):
        return Failed("the answer is no chat completion")
    spoken = text if isinstance(text, str) else refusal if isinstance(refusal, str) else None
    if not isinstance(reason, str) or (spoken is None and reason != CONTENT_FILTER):
        return Failed("the answer has no text")
    return Answered(spoken, reason, latency_ms, _total_tokens(document))


def _error_code(document: Any) -> str | None:
    error = document.get("error") if isinstance(document, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else None


def _total_tokens(document: Any) -> int | None:
    usage = document.get("usage")
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    return total if isinstance(total, int) and not isinstance(total, bool) and total >= 0 else None
