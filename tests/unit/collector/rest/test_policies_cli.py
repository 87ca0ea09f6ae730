"""``custodes policy --server``: a pipeline with a key and no database submits and back-tests over the API."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from custodes.cli.main import cli
from custodes.cli.remote import PolicyServer
from custodes.kernel.errors import (
    AuthenticationError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
)
from tests.unit.collector.rest.test_policies import SOURCE, actions

URL = "http://testserver"
Run = Callable[..., Result]


@pytest.fixture
def run(server: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``custodes policy … --server`` as a role, or with no key."""

    def call(*words: str, role: str | None = "author") -> Result:
        client = server.client(role)

        def forward(request: httpx.Request) -> httpx.Response:
            headers = {name: value for name, value in request.headers.items() if name != "host"}
            answer = client.request(request.method, str(request.url), content=request.content, headers=headers)
            return httpx.Response(answer.status_code, content=answer.content)

        transport = httpx.MockTransport(forward)
        monkeypatch.setattr("custodes.cli.policy.PolicyServer", partial(PolicyServer, transport=transport))
        key = [] if role is None else ["--key", server.key(role, "default")]
        return CliRunner().invoke(cli, ["policy", *words, "--server", URL, *key])

    return call


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tox.yaml"
    path.write_text(SOURCE)
    return path


class TestServer:
    def test_a_file_is_submitted_and_its_back_test_attached(self, run: Run, server: Any, file: Path) -> None:
        made = run("submit", str(file))
        assert (made.exit_code, "is draft" in made.stdout) == (0, True), made.output
        assert "is draft" in run("submit", str(file)).stdout
        tried = run("backtest", "tox", "--from", "now-1h", "--json")
        assert tried.exit_code == 0, tried.output
        assert json.loads(tried.stdout)["minutes"] == 60
        assert "is shadow" in tried.stderr
        assert actions(server) == ["policy.submitted", "policy.backtested"]

    def test_a_file_is_tried_without_storing_anything(self, run: Run, server: Any, file: Path) -> None:
        tried = run("backtest", str(file), "--from", "now-2h")
        assert (tried.exit_code, "120 minutes" in tried.stdout) == (0, True), tried.output
        run("submit", str(file))
        assert "60 minutes" in run("backtest", "tox", "--from", "now-1h", "--no-attach").stdout
        assert actions(server) == ["policy.submitted"]

    def test_refusals_say_what_the_server_said(self, run: Run, file: Path) -> None:
        assert isinstance(run("submit", str(file), role="viewer").exception, AuthenticationError)
        assert isinstance(run("submit", str(file), role=None).exception, AuthenticationError)
        assert isinstance(run("backtest", "nothing").exception, NotFoundError)
        file.write_text(SOURCE.replace("t > 0.8", "tt > 0.8"))
        refused = run("submit", str(file)).exception
        assert isinstance(refused, InvalidInputError)
        assert "when: column 1: unknown name 'tt' (did you mean 't'?)" in str(refused)

    @pytest.mark.parametrize(
        ("answer", "error", "words"),
        [
            (httpx.Response(200, text="<html>"), UnavailableError, "answered no JSON"),
            (httpx.Response(200, json=[]), UnavailableError, "something else"),
            (httpx.Response(503, json={"detail": "the log is down"}), UnavailableError, "the log is down"),
            (httpx.Response(409, json={"detail": "policies are read-only here"}), ConflictError, "read-only"),
            (httpx.ConnectError("no"), UnavailableError, "cannot be asked: ConnectError"),
        ],
    )
    def test_what_is_no_answer_is_said_plainly(
        self, answer: httpx.Response | Exception, error: type[Exception], words: str
    ) -> None:
        def handle(_: httpx.Request) -> httpx.Response:
            if isinstance(answer, Exception):
                raise answer
            return answer

        transport = httpx.MockTransport(handle)
        with PolicyServer(URL, "key", transport=transport) as server, pytest.raises(error, match=words):
            server.submit("x", None)
