"""The console under test: its script in Streamlit's AppTest, behind it the real client and a server in memory."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

import ui
from custodes_sdk import Client
from ui import session

MAIN = Path(ui.__file__).with_name("main.py")


@pytest.fixture(scope="session")
def fake_module() -> Any:
    """The module ``fake_api.py``: ``FakeApi`` and, as ``answers``, what it tells."""
    name = "console_test_fake_api"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("fake_api.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def answers(fake_module: Any) -> Any:
    """The constants and documents of the story."""
    return fake_module.answers


@pytest.fixture
def client_of() -> Callable[[Any, str | None], Client]:
    """A function that puts the real client in front of a fake server."""

    def make(api: Any, key: str | None = None) -> Client:
        def handle(request: httpx.Request) -> httpx.Response:
            status, document = api.answer(
                request.method,
                request.url.path,
                dict(request.url.params),
                {name.lower(): value for name, value in request.headers.items()},
                request.content,
            )
            return httpx.Response(status, json=document)

        return Client("http://fake", key, http=httpx.MockTransport(handle))

    return make


@pytest.fixture
def open_console(
    monkeypatch: pytest.MonkeyPatch, fake_module: Any, client_of: Callable[[Any, str | None], Client]
) -> Callable[..., AppTest]:
    """A function that opens a page of the console: ``open_console("trace", api, id=…)``, already run once."""

    def run(page: str = "", api: Any = None, **params: str) -> AppTest:
        server = api if api is not None else fake_module.FakeApi()
        monkeypatch.setattr(session, "open_client", lambda key: client_of(server, key))
        monkeypatch.setattr(session, "clock", lambda: _now(fake_module))
        app = AppTest.from_file(str(MAIN), default_timeout=20)
        if page:
            # AppTest switches to pages that are files; ours are functions, known by the hash of their address.
            app._page_hash = calc_hash(page)
        for name, value in params.items():
            app.query_params[name] = value
        return app.run()

    return run


def _now(fake_module: Any) -> datetime:
    now: datetime = fake_module.answers.NOW
    return now
