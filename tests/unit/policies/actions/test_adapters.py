"""Each adapter does a thing once however often it is told to, and says what it could not do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from custodes.kernel.clock import SECOND_NS
from policies.actions.adapters import Done, Order, Plan, Refused, TryLater, Waiting
from policies.actions.github import GitHubAdapter
from policies.actions.gitlab import GitLabAdapter
from policies.actions.http import JsonClient
from policies.actions.vllm import VllmAdapter
from policies.actions.webhook import WebhookAdapter
from policies.hooks.address import AddressRules
from policies.hooks.endpoint_store import Endpoint
from policies.hooks.mail import MailSender
from policies.hooks.secrets import seal_secrets
from policies.hooks.sender import ChannelSender
from policies.hooks.signing import generate_secret, verify_headers
from policies.hooks.webhook import WebhookSender
from tests.unit.policies.actions.conftest import BEGIN_NS, LOOPBACK
from tests.unit.policies.actions.servers import FakeServer, Reply, running
from tests.unit.policies.actions.servers_more import GitHubServer, GitLabServer, VllmServer

GITHUB = {"adapter": "github", "repository": "acme/deploy", "workflow": "rollback.yml"}
GITLAB = {"adapter": "gitlab", "repository": "acme/deploy", "to": "6", "deployment": "bot-v{version}"}
OLD, GOOD = "/models/adapters/bot-v7", "/models/adapters/bot-v6"
VLLM = {"adapter": "vllm", "lora": "bot", "to": GOOD, "deployment": "bot-{version}"}


def order(target: dict[str, str], **changes: Any) -> Order:
    made = Order("a-1", "default", target, "7", "6", BEGIN_NS, False, {"kind": "rollback", "waited_ns": 0})
    return replace(made, **changes)


class TestVllm:
    @pytest.fixture
    def server(self) -> Iterator[VllmServer]:
        server = VllmServer()
        server.loras["bot"] = OLD
        with running(server):
            yield server

    @pytest.fixture
    def adapter(self, server: VllmServer) -> VllmAdapter:
        return VllmAdapter(JsonClient(server.url, LOOPBACK), ["/models/adapters"])

    def order(self, **changes: Any) -> Order:
        return order(changes.pop("target", VLLM), **{"from_version": OLD, "to_version": GOOD, **changes})

    def test_plans_from_what_is_loaded(self, adapter: VllmAdapter, server: VllmServer) -> None:
        assert adapter.plan(VLLM) == Plan(OLD, (GOOD,), {GOOD: "bot-bot-v6"}, has_versions=True)
        assert server.writes() == []

    def test_replaces_the_weights_without_a_gap(self, adapter: VllmAdapter, server: VllmServer) -> None:
        assert isinstance(adapter.send(self.order()), Done)
        assert (server.loras, server.gaps) == ({"bot": GOOD}, 0)
        assert isinstance(adapter.send(self.order(again=True)), Done)
        assert len(server.writes()) == 1

    def test_unloads_first_on_servers_that_cannot_replace(self, adapter: VllmAdapter, server: VllmServer) -> None:
        server.knows_inplace = False
        assert isinstance(adapter.send(self.order()), Done)
        assert (server.loras, server.gaps) == ({"bot": GOOD}, 1)

    def test_goes_on_after_a_crash_between_unloading_and_loading(
        self, adapter: VllmAdapter, server: VllmServer
    ) -> None:
        server.loras.clear()
        assert isinstance(adapter.send(self.order()), Refused)
        assert isinstance(adapter.send(self.order(again=True)), Done)

    def test_unloads_the_old_name_where_it_is_told_to(self, adapter: VllmAdapter, server: VllmServer) -> None:
        server.loras["bot-v7"] = OLD
        result = adapter.send(self.order(target={**VLLM, "unload": "bot-v7"}))
        assert isinstance(result, Done)
        assert server.loras == {"bot": GOOD}

    @pytest.mark.parametrize("path", ["/etc/passwd", "/models/adapters/../../etc", "", "/models/adapters-evil/x"])
    def test_loads_nothing_outside_the_allowed_paths(self, adapter: VllmAdapter, server: VllmServer, path: str) -> None:
        result = adapter.send(self.order(to_version=path))
        assert isinstance(result, Refused)
        assert "outside the paths" in result.reason
        assert server.calls == []

    def test_does_nothing_when_somebody_else_has_changed_it(self, adapter: VllmAdapter, server: VllmServer) -> None:
        server.loras["bot"] = "/models/adapters/bot-v8"
        result = adapter.send(self.order())
        assert isinstance(result, Refused)
        assert "somebody else has changed it" in result.reason
        assert server.writes() == []

    def test_says_what_the_server_said(self, adapter: VllmAdapter, server: VllmServer) -> None:
        result = adapter.send(self.order(to_version="/models/adapters/missing"))
        assert isinstance(result, Refused)
        assert "No adapter found" in result.reason
        assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" in result.reason


class TestGitHub:
    @pytest.fixture
    def server(self) -> Iterator[GitHubServer]:
        with running(GitHubServer()) as server:
            yield server

    @pytest.fixture
    def adapter(self, server: GitHubServer) -> GitHubAdapter:
        return GitHubAdapter(JsonClient(server.url, LOOPBACK, headers={"authorization": "Bearer t"}))

    def test_dispatches_and_follows_the_run(self, adapter: GitHubAdapter, server: GitHubServer) -> None:
        assert adapter.send(order(GITHUB)) == Waiting("run 100 was started", "100")
        (_, _, body) = server.writes()[0]
        assert body["inputs"] == {"action_id": "a-1", "from_version": "7", "to_version": "6"}
        assert server.headers[0]["authorization"] == "Bearer t"
        later = order(GITHUB, external_id="100", again=True)
        assert adapter.look(later) == Waiting("run 100 is queued", "100")
        server.runs[0] |= {"status": "completed", "conclusion": "success"}
        assert adapter.look(later) == Done("run 100 succeeded", "100")
        server.runs[0] |= {"conclusion": "failure"}
        assert adapter.look(later) == Refused("run 100 ended with failure")

    def test_finds_its_run_after_a_crash_instead_of_a_second(
        self, adapter: GitHubAdapter, server: GitHubServer
    ) -> None:
        adapter.send(order(GITHUB))
        assert adapter.send(order(GITHUB, again=True)) == Waiting("run 100 is queued", "100")
        assert len(server.runs) == 1

    def test_sends_no_second_one_when_nobody_can_tell(self, adapter: GitHubAdapter, server: GitHubServer) -> None:
        server.named = False
        adapter.send(order(GITHUB))
        result = adapter.send(order(GITHUB, again=True))
        assert isinstance(result, Refused)
        assert "put inputs.action_id into its run-name" in result.reason
        assert len(server.runs) == 1

    def test_waits_before_it_believes_that_there_is_no_run(self, adapter: GitHubAdapter, server: GitHubServer) -> None:
        assert isinstance(adapter.send(order(GITHUB, again=True)), TryLater)
        waited = order(GITHUB, again=True, facts={"waited_ns": 61 * SECOND_NS})
        assert isinstance(adapter.send(waited), Waiting)
        assert len(server.runs) == 1

    def test_finds_the_run_of_servers_that_do_not_name_it(self, adapter: GitHubAdapter, server: GitHubServer) -> None:
        server.details = False
        sent = adapter.send(order(GITHUB))
        assert isinstance(sent, Waiting)
        later = order(GITHUB, external_id=sent.external_id, again=True)
        assert adapter.look(later) == Waiting("run 100 is queued", "100")

    @pytest.mark.parametrize("repository", ["acme", "acme/../x", "a/b/c", "acme/deploy?x=1"])
    def test_takes_no_path_for_a_repository(
        self, adapter: GitHubAdapter, server: GitHubServer, repository: str
    ) -> None:
        assert isinstance(adapter.plan({**GITHUB, "repository": repository}), Refused)
        assert server.calls == []


class TestGitLab:
    @pytest.fixture
    def server(self) -> Iterator[GitLabServer]:
        with running(GitLabServer()) as server:
            yield server

    @pytest.fixture
    def adapter(self, server: GitLabServer) -> GitLabAdapter:
        return GitLabAdapter(JsonClient(server.url, LOOPBACK))

    def test_creates_one_pipeline_and_follows_it(self, adapter: GitLabAdapter, server: GitLabServer) -> None:
        assert adapter.plan(GITLAB) == Plan(None, ("6",), {"6": "bot-v6"}, has_versions=True)
        assert adapter.send(order(GITLAB)) == Waiting("pipeline 500 was created", "500")
        assert adapter.send(order(GITLAB, again=True)) == Waiting("pipeline 500 is created", "500")
        assert len(server.pipelines) == 1
        server.pipelines[0]["status"] = "success"
        assert adapter.look(order(GITLAB, external_id="500")) == Done("pipeline 500 succeeded", "500")
        server.pipelines[0]["status"] = "failed"
        assert adapter.look(order(GITLAB, external_id="500")) == Refused("pipeline 500 ended as failed")

    def test_tells_its_pipeline_from_those_of_others(self, adapter: GitLabAdapter, server: GitLabServer) -> None:
        adapter.send(order(GITLAB, action_id="a-0"))
        assert isinstance(adapter.send(order(GITLAB, again=True)), Waiting)
        assert len(server.pipelines) == 2


class Receiver(FakeServer):
    """A receiver of requests to act. ``raw`` keeps what was signed."""

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Reply:
        return 202, {}


class PlainBox:
    """Keeps secrets as they are: what encrypts them is tested elsewhere."""

    def seal(self, place: str, text: str) -> bytes:
        return text.encode()

    def open(self, place: str, sealed: bytes) -> str:
        return sealed.decode()


class TestWebhook:
    def make(self, url: str, secret: str, state: Any = "active", kind: str = "webhook") -> WebhookAdapter:
        box = PlainBox()
        sealed = seal_secrets(box, "default", "deployer", {"signing": secret})
        endpoint = Endpoint("default", "deployer", url, sealed, state, 0, kind=kind)
        return WebhookAdapter(
            lambda project, name: endpoint if name == "deployer" else None,
            ChannelSender(WebhookSender(LOOPBACK, timeout_s=5), MailSender(LOOPBACK), box),
            lambda: BEGIN_NS,
            "http://127.0.0.1:4318",
        )

    def test_asks_under_the_same_id_and_says_where_to_report(self) -> None:
        secret = generate_secret()
        with running(Receiver()) as receiver:
            adapter = self.make(f"{receiver.url}/hook", secret)
            first = adapter.send(order({"adapter": "webhook", "endpoint": "deployer"}))
            assert isinstance(first, Waiting)
            assert first.external_id == "act_a-1"
            adapter.send(order({"adapter": "webhook", "endpoint": "deployer"}, again=True))
            bodies = [body for _, _, body in receiver.calls]
            assert bodies[0] == bodies[1]
            assert bodies[0]["type"] == "action.dispatched"
            assert bodies[0]["data"]["callback"] == "http://127.0.0.1:4318/api/v1/actions/a-1/callback"
            assert {headers["webhook-id"] for headers in receiver.headers} == {"act_a-1"}
            assert verify_headers([secret], receiver.headers[0], orjson.dumps(bodies[0]), BEGIN_NS // SECOND_NS)

    def test_refuses_an_endpoint_that_is_not_there_or_off(self) -> None:
        adapter = self.make("http://127.0.0.1:9/x", generate_secret(), "disabled")
        assert isinstance(adapter.send(order({"endpoint": "deployer"})), Refused)
        assert isinstance(adapter.send(order({"endpoint": "other"})), Refused)

    def test_refuses_an_endpoint_that_can_only_be_told(self) -> None:
        adapter = self.make("http://127.0.0.1:9/x", generate_secret(), kind="slack")
        refused = adapter.send(order({"endpoint": "deployer"}))
        assert isinstance(refused, Refused)
        assert "cannot be asked to act" in refused.reason


class TestJsonClient:
    def test_goes_nowhere_it_may_not(self) -> None:
        client = JsonClient("http://169.254.169.254", AddressRules.of([], allow_http=True))
        answer = client.call("GET", "/latest/meta-data")
        assert getattr(answer, "forbidden", False)
        assert "CUSTODES_ACTION__ALLOWED_PRIVATE_CIDRS" in getattr(answer, "reason", "")

    @pytest.mark.parametrize(("status", "body"), [(200, "no json"), (500, {"message": "x"}), (302, {})])
    def test_gives_any_answer_as_a_value(self, status: int, body: Any) -> None:
        with running(Receiver()) as server:
            server.fault = lambda method, path: (status, body)
            answer = JsonClient(server.url, LOOPBACK).call("GET", "/x")
        assert getattr(answer, "status", None) == status

    def test_says_when_nobody_answers(self) -> None:
        with running(Receiver()) as server:
            url = server.url
        answer = JsonClient(url, LOOPBACK, timeout_s=1).call("GET", "/x")
        assert "the connection failed" in getattr(answer, "reason", "")
