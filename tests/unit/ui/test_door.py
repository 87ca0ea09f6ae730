"""The door: deep links redirect, every answer carries the security headers."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ui.door import console_middleware, console_routes, content_security_policy


def get(path: str, **params: str) -> httpx.Response:
    async def plain(request: object) -> PlainTextResponse:
        return PlainTextResponse("page")

    app = Starlette(routes=[*console_routes(), Route("/page", plain)], middleware=console_middleware())

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://console") as client:
            return await client.get(path, params=params)

    return asyncio.run(ask())


class TestGo:
    def test_it_redirects_to_the_page_a_webhook_names(self) -> None:
        answer = get("/go", to="/incident?id=42")
        assert answer.status_code == 302
        assert answer.headers["location"] == "/incident?id=42"

    @pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/nowhere", ""])
    def test_it_refuses_to_leave_the_console(self, target: str) -> None:
        answer = get("/go", to=target)
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert "evil" not in answer.text

    def test_it_refuses_a_link_without_a_target(self) -> None:
        assert get("/go").status_code == 400


class TestSecurityHeaders:
    @pytest.mark.parametrize("path", ["/page", "/go", "/missing"])
    def test_it_is_on_every_answer(self, path: str) -> None:
        headers = get(path).headers
        assert headers["content-security-policy"] == content_security_policy()
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"


class TestContentSecurityPolicy:
    def test_it_allows_scripts_of_this_server_only(self) -> None:
        scripts = re.search(r"script-src ([^;]*)", content_security_policy())
        assert scripts is not None
        assert re.fullmatch(r"'self'( 'sha256-[A-Za-z0-9+/=]{44}')*", scripts[1])

    @pytest.mark.parametrize(
        "directive", ["img-src 'self' data: blob:", "connect-src 'self'", "frame-ancestors 'none'"]
    )
    def test_it_lets_nothing_call_out(self, directive: str) -> None:
        assert directive in content_security_policy().split("; ")
