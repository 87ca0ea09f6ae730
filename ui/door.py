"""What stands between a browser and the console's script: the ``/go`` route and the security headers."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import streamlit
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.links import followable

_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def console_routes() -> list[BaseRoute]:
    """Return the routes the console adds to Streamlit's own."""
    return [Route("/go", go, methods=["GET"])]


def console_middleware() -> list[Middleware]:
    """Return the middleware that wraps every answer."""
    return [Middleware(SecurityHeaders, policy=content_security_policy())]


async def go(request: Request) -> Response:
    """Redirect a webhook's or e-mail's link to its page; answer 400 when ``to`` is not a page of this console."""
    target = followable(request.query_params.get("to", ""))
    if target is None:
        return PlainTextResponse("This link does not lead to a page of this console.\n", status_code=400)
    return RedirectResponse(target, status_code=302)


class SecurityHeaders:
    """ASGI middleware that adds the security headers to every HTTP answer."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; add headers when its answer starts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = self._policy
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "no-referrer"
                headers["x-frame-options"] = "DENY"
                headers["permissions-policy"] = "camera=(), microphone=(), geolocation=()"
            await send(message)

        await self._app(scope, receive, send_with_headers)


def content_security_policy() -> str:
    """Return the policy under which Streamlit 1.67 with Altair and dataframes works in Chromium.

    Scripts come from this server only; Streamlit's one inline script is allowed by the hash of its text.
    ``connect-src 'self'`` covers the WebSocket. Images can't come from elsewhere, so captured text can't call out.
    """
    scripts = " ".join(["'self'", *(f"'{digest}'" for digest in _inline_script_hashes())])
    directives = [
        "default-src 'self'",
        f"script-src {scripts}",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
    return "; ".join(directives)


def _inline_script_hashes() -> list[str]:
    index = Path(streamlit.__file__).parent / "static" / "index.html"
    digests = (hashlib.sha256(body.encode()).digest() for body in _INLINE_SCRIPT.findall(index.read_text("utf-8")))
    return [f"sha256-{base64.b64encode(digest).decode()}" for digest in digests]
