"""The client's requests, answers, retries and errors, over a transport that records them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

import custodes_sdk
from custodes_sdk import Client, models

Handler = Callable[[httpx.Request], httpx.Response]
ROW = {"trace_id": "ab" * 16, "start": "2026-11-21T10:00:00Z", "spans": 1}


def client_for(handler: Handler, key: str | None = "k") -> Client:
    return Client("http://server/", key, http=httpx.MockTransport(handler))


def always(status: int, document: object = None, **headers: str) -> Handler:
    return lambda request: httpx.Response(status, json=document, headers=headers)


class Recorder:
    """Answers with a list of responses in turn, the last one for ever."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


class TestRequests:
    def test_it_sends_the_key_and_asks_for_json(self) -> None:
        server = Recorder(httpx.Response(200, json={"actor": "a", "project": "p", "role": "viewer"}))
        assert client_for(server).me().actor == "a"
        assert server.requests[0].headers["authorization"] == "Bearer k"
        assert server.requests[0].headers["accept"] == "application/json"
        assert str(server.requests[0].url) == "http://server/api/v1/me"

    def test_it_sends_no_key_when_it_has_none(self) -> None:
        server = Recorder(httpx.Response(200, json={"actor": "a", "project": "p", "role": "viewer"}))
        client_for(server, None).me()
        assert "authorization" not in server.requests[0].headers

    def test_it_leaves_out_filters_that_are_not_given(self) -> None:
        server = Recorder(httpx.Response(200, json={"rows": [], "next_cursor": None}))
        client_for(server).traces(start="now-1h", metric="toxicity", minimum=0.0, query="x y")
        assert dict(server.requests[0].url.params) == {"from": "now-1h", "metric": "toxicity", "min": "0.0", "q": "x y"}

    def test_it_writes_times_in_utc(self) -> None:
        server = Recorder(httpx.Response(200, json={"now": "2026-11-21T10:00:00Z"}))
        berlin = timezone(timedelta(hours=1))
        client_for(server).overview(start=datetime(2026, 11, 21, 11, tzinfo=berlin), end="now")
        assert server.requests[0].url.params["from"] == "2026-11-21T10:00:00Z"

    def test_it_refuses_a_time_without_a_zone(self) -> None:
        with pytest.raises(ValueError, match="no time zone"):
            client_for(always(200)).overview(start=datetime(2026, 11, 21))  # noqa: DTZ001

    @pytest.mark.parametrize("identifier", ["../admin", "a/b", "a?b", "..", "a#b", "%2e"])
    def test_it_keeps_an_id_inside_its_segment_of_the_path(self, identifier: str) -> None:
        server = Recorder(httpx.Response(404, json={}))
        with pytest.raises(custodes_sdk.NotFound):
            client_for(server).incident(identifier)
        raw = server.requests[0].url.raw_path.decode()
        assert raw.startswith("/api/v1/incidents/")
        assert raw.count("/") == 4
        assert "?" not in raw

    def test_it_asks_for_a_metric_by_group(self) -> None:
        figures = {"count": 2, "sum": 75.0, "mean": 37.5, "p50": 37.5, "p95": 48.75, "value": None}
        group = {"group": {"gen_ai.token.type": "input"}, "total": figures, "points": [{"t": "2026-11-21T10:00:00Z"}]}
        server = Recorder(httpx.Response(200, json={"name": "gen_ai.x", "step_s": 60, "series": [group]}))
        found = client_for(server).metric("gen_ai.x", step_s=60, group_by=["gen_ai.token.type", "service"])
        assert dict(server.requests[0].url.params) == {"step": "60", "group_by": "gen_ai.token.type,service"}
        assert (found.series[0].total.sum, found.series[0].points[0].count) == (75.0, None)

    def test_it_submits_a_policy_as_yaml(self) -> None:
        server = Recorder(httpx.Response(201, json={"id": "p", "version": "sha256:1", "state": "draft"}))
        assert client_for(server).submit_policy("kind: Policy\n").version == "sha256:1"
        assert server.requests[0].headers["content-type"] == "application/yaml"
        assert server.requests[0].content == b"kind: Policy\n"

    def test_it_deletes_without_expecting_a_body(self) -> None:
        server = Recorder(httpx.Response(204))
        client_for(server).delete_endpoint("oncall")
        assert server.requests[0].method == "DELETE"


class TestEndpoints:
    @pytest.mark.parametrize(
        ("call", "method", "path", "document", "kind"),
        [
            (lambda c: c.overview(), "GET", "/overview", {"now": "2026-11-21T10:00:00Z"}, models.Overview),
            (lambda c: c.timeseries("toxicity", "p95"), "GET", "/timeseries", {"step_s": 60}, models.Timeseries),
            (lambda c: c.ledger(), "GET", "/ledger", {}, models.Ledger),
            (lambda c: c.coverage(), "GET", "/coverage", {"rows": [{"service": "s"}]}, models.Page),
            (lambda c: c.metrics(), "GET", "/metrics", {"rows": [{"name": "gen_ai.x"}]}, models.Page),
            (lambda c: c.metric("vllm:x"), "GET", "/metrics/vllm%3Ax", {"name": "vllm:x"}, models.MetricSeries),
            (lambda c: c.trace("t"), "GET", "/traces/t", {"trace_id": "t"}, models.Trace),
            (lambda c: c.exchange("e"), "GET", "/exchanges/e", {"id": "e", "span_id": "s"}, models.Exchange),
            (lambda c: c.incidents(), "GET", "/incidents", {"rows": []}, models.Page),
            (
                lambda c: c.incident("i"), "GET", "/incidents/i",
                {"id": "i", "opened_at": "2026-11-21T10:00:00Z"}, models.IncidentDetail,
            ),
            (lambda c: c.reviews(exchange="ab"), "GET", "/reviews", {"rows": []}, models.Page),
            (
                lambda c: c.review("ab", "bad", corrected="better"), "POST", "/reviews",
                {"id": "r", "exchange": "ab", "verdict": "bad", "at": "2026-11-21T10:00:00Z"}, models.Review,
            ),
            (lambda c: c.decisions(), "GET", "/decisions", {"rows": []}, models.Page),
            (
                lambda c: c.policies(), "GET", "/policies",
                {"rows": [{"id": "p", "version": "v"}], "totals": {"policies": 1}}, models.PolicyPage,
            ),
            (lambda c: c.policy("p"), "GET", "/policies/p", {"id": "p", "version": "v"}, models.PolicyDetail),
            (
                lambda c: c.activate_policy("p", "sha256:1"), "POST", "/policies/p/versions/sha256%3A1/activate",
                {"id": "p", "version": "sha256:1"}, models.Policy,
            ),
            (lambda c: c.endpoints(), "GET", "/endpoints", {"rows": []}, models.Page),
            (
                lambda c: c.create_endpoint("oncall", "https://x.example"), "POST", "/endpoints",
                {"id": "oncall", "url": "https://x.example", "secret": "whsec_1"}, models.Endpoint,
            ),
            (
                lambda c: c.endpoint_kinds(), "GET", "/endpoint-kinds",
                {"rows": [{"kind": "email", "settings": [{"name": "to"}]}]}, models.Page,
            ),
            (
                lambda c: c.rotate_endpoint("oncall"), "POST", "/endpoints/oncall/rotate",
                {"id": "oncall", "url": "https://x.example", "secret": "whsec_2"}, models.Endpoint,
            ),
            (
                lambda c: c.endpoint_messages("oncall", state="dead"), "GET", "/endpoints/oncall/deliveries",
                {"rows": [{"id": "m", "event": "x", "state": "dead"}]}, models.Page,
            ),
            (
                lambda c: c.test_endpoint("oncall"), "POST", "/endpoints/oncall/test",
                {"delivered": False, "status": None, "detail": "no"}, models.EndpointTrial,
            ),
            (
                lambda c: c.discard_messages("oncall", ["m"]), "POST", "/endpoints/oncall/discard",
                {"discarded": ["m"], "skipped": {}, "audit": None}, models.Discarded,
            ),
            (
                lambda c: c.replay_messages("oncall", ["m"]), "POST", "/endpoints/oncall/replay",
                {"replayed": ["m"], "skipped": {}, "audit": None}, models.Replay,
            ),
            (lambda c: c.keys(), "GET", "/keys", {"rows": []}, models.Page),
            (lambda c: c.create_key("viewer"), "POST", "/keys", {"id": "k", "role": "viewer"}, models.Key),
            (
                lambda c: c.rotate_key("k", overlap="1h"), "POST", "/keys/k/rotate",
                {"id": "n", "role": "viewer", "secret": "s", "old": {"id": "k", "role": "viewer"}}, models.RotatedKey,
            ),
            (lambda c: c.projects(), "GET", "/projects", {"rows": [{"id": "default"}]}, models.Page),
            (
                lambda c: c.prices(), "GET", "/prices",
                {"rows": [{"model": "m", "input_usd_per_mtok": 1, "output_usd_per_mtok": 2.5}]}, models.Page,
            ),
            (
                lambda c: c.ledger_minutes(limit=5), "GET", "/ledger/minutes",
                {"rows": [{"minute": "2026-11-21T10:00:00Z", "service": "s", "pending": 1}]}, models.Page,
            ),
            (lambda c: c.models(), "GET", "/models", {"rows": [{"name": "toxicity/builtin"}]}, models.Page),
            (lambda c: c.audit_status(), "GET", "/audit/status", {"origin": "o", "key": "k"}, models.AuditStatus),
            (lambda c: c.audit_entries(order="desc"), "GET", "/audit/entries", {"rows": []}, models.Page),
            (
                lambda c: c.audit_prove(3), "GET", "/audit/prove/3",
                {"seq": 3, "leaf_hash": "aa", "size": 4, "root": "bb"}, models.InclusionProof,
            ),
            (lambda c: c.audit_verify(), "POST", "/audit/verify", {"verdict": "intact"}, models.AuditVerification),
        ],
    )  # fmt: skip
    def test_it_calls_the_contract_and_returns_its_type(
        self, call: Callable[[Client], Any], method: str, path: str, document: dict[str, Any], kind: type
    ) -> None:
        server = Recorder(httpx.Response(200, json=document))
        assert isinstance(call(client_for(server)), kind)
        assert server.requests[0].method == method
        assert server.requests[0].url.raw_path.decode().split("?")[0] == f"/api/v1{path}"

    def test_it_returns_the_checkpoint_as_signed(self) -> None:
        server = Recorder(httpx.Response(200, text="origin\n1\nroot\n\n— sig\n"))
        assert client_for(server).audit_checkpoint() == "origin\n1\nroot\n\n— sig\n"

    def test_it_reveals_with_the_receipt_of_the_audit_log(self) -> None:
        document = {
            "id": "e", "span_id": "s", "text_visible": True, "prompt": "p", "audit": {"seq": 7, "checkpoint_size": 8},
        }  # fmt: skip
        answer = client_for(always(200, document)).reveal("e", "because of the incident")
        assert answer.exchange.prompt == "p"
        assert answer.audit == models.AuditReceipt(seq=7, checkpoint_size=8)

    def test_it_tells_ready_from_not_ready_without_raising(self) -> None:
        assert client_for(always(200, {"ready": True})).health().ready
        waiting = client_for(always(503, {"ready": False, "reasons": ["no worker"]}, **{"retry-after": "1"})).health()
        assert waiting == models.Health(ready=False, reasons=("no worker",))

    def test_it_iterates_over_every_page(self) -> None:
        server = Recorder(
            httpx.Response(200, json={"rows": [ROW, ROW], "next_cursor": "2"}),
            httpx.Response(200, json={"rows": [ROW], "next_cursor": None}),
        )
        assert len(list(client_for(server).iterate_traces(service="bot"))) == 3
        assert dict(server.requests[1].url.params) == {"service": "bot", "cursor": "2"}

    def test_it_stops_when_a_server_repeats_its_cursor(self) -> None:
        server = Recorder(httpx.Response(200, json={"rows": [ROW], "next_cursor": "same"}))
        assert len(list(client_for(server).iterate_traces())) == 2


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, custodes_sdk.Invalid),
            (401, custodes_sdk.Unauthorized),
            (403, custodes_sdk.Forbidden),
            (404, custodes_sdk.NotFound),
            (409, custodes_sdk.Conflict),
            (412, custodes_sdk.Conflict),
            (418, custodes_sdk.Invalid),
            (422, custodes_sdk.Invalid),
            (429, custodes_sdk.RateLimited),
            (500, custodes_sdk.ServerFailed),
            (503, custodes_sdk.ServerUnavailable),
        ],
    )
    def test_it_says_what_the_server_said(self, status: int, kind: type[custodes_sdk.CustodesSdkError]) -> None:
        problem = {"title": "T", "detail": "what to do", "error_id": "e-1", "findings": [1]}
        with pytest.raises(kind) as caught:
            client_for(always(status, problem)).me()
        assert caught.value.status == status
        assert caught.value.error_id == "e-1"
        assert str(caught.value) == "what to do"
        assert caught.value.problem["findings"] == [1]

    @pytest.mark.parametrize("content", [b"", b"<html>", b"[1]", b"null"])
    def test_it_copes_with_an_error_that_is_no_problem_document(self, content: bytes) -> None:
        with pytest.raises(custodes_sdk.ServerFailed, match="answered 502"):
            client_for(lambda request: httpx.Response(502, content=content)).me()

    @pytest.mark.parametrize("content", [b"", b"<html>sign in</html>", b"\xff\xfe"])
    def test_it_says_when_an_answer_is_not_json(self, content: bytes) -> None:
        with pytest.raises(custodes_sdk.UnexpectedResponse, match="Expected JSON"):
            client_for(lambda request: httpx.Response(200, content=content)).me()

    @pytest.mark.parametrize("document", [None, [], {"rows": None}, {"rows": [1]}, {"rows": [{}]}])
    def test_it_says_when_a_list_is_none(self, document: object) -> None:
        with pytest.raises(custodes_sdk.UnexpectedResponse):
            client_for(always(200, document)).traces()

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (httpx.ConnectError("refused"), "cannot be reached"),
            (httpx.ConnectTimeout("slow"), "did not answer in time"),
            (httpx.ReadTimeout("slow"), "did not answer in time"),
            (httpx.ReadError("broken"), "cannot be reached"),
        ],
    )
    def test_it_says_that_nothing_answered(self, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str) -> None:
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        with pytest.raises(custodes_sdk.ServerUnavailable, match=words) as caught:
            client_for(Recorder(error)).me()
        assert "http://server" in str(caught.value)
        assert caught.value.status is None


class TestFairness:
    def test_it_reads_gaps_and_their_course(self) -> None:
        row = {"segment_id": 7, "family": "prompt", "group": "religion:sikh", "outcome": "refused", "state": "watching",
               "at": "2026-11-21T10:00:00Z", "recent": {"pairs": 5, "gap": None}}  # fmt: skip
        course = {"points": [{"at": "2026-11-21T10:00:00Z", "pairs": 5, "gap": 0.1}]}
        server = Recorder(
            httpx.Response(200, json={"rules": {"epsilon": 0.02}, "rows": [row]}), httpx.Response(200, json=course)
        )
        client = client_for(server)
        found = client.fairness(state="watching")
        assert (found.rules.epsilon, found.rows[0].recent.gap) == (0.02, None)
        assert client.fairness_course(found.rows[0], start="now-1h").points[0].gap == 0.1
        assert dict(server.requests[1].url.params) == {
            "from": "now-1h", "segment_id": "7", "family": "prompt", "group": "religion:sikh", "outcome": "refused",
        }  # fmt: skip

    def test_it_begins_a_comparison_anew(self) -> None:
        server = Recorder(httpx.Response(200, json={"alarms": 1, "incidents": ["i"], "audit": {}}))
        assert client_for(server).restart_fairness(7, "prompt", "fixed").incidents == ("i",)
        assert server.requests[0].method == "POST"
        assert server.requests[0].url.path == "/api/v1/fairness/restart"


class TestDrift:
    def test_it_reads_monitors_their_course_and_an_explanation(self) -> None:
        row = {"monitor_id": 7, "place_id": 3, "monitor": "response", "state": "watching", "statistic": 2,
               "reference": {"id": "r", "version": 1, "source": {"kind": "first", "exchanges": 2000}}}  # fmt: skip
        course = {"points": [{"at": "2026-11-21T10:00:00Z", "statistic": 0.5, "threshold": 400}]}
        drawn = {"reference": [[0, 1.5]], "current": [[2.0, 1.0]], "current_exchanges": ["ab", None]}
        episode = {"id": "e", "monitor_id": 7, "place_id": 3, "monitor": "response", "at": "2026-11-21T10:00:00Z",
                   "explanation": {"kind": "embedding", "separation": 0.9, "map": drawn}}  # fmt: skip
        server = Recorder(
            httpx.Response(200, json={"rules": {"exchanges_per_false_alarm": 9}, "rows": [row]}),
            httpx.Response(200, json=course),
            httpx.Response(200, json=episode),
        )
        client = client_for(server)
        found = client.drift(state="watching")
        assert (found.rules.exchanges_per_false_alarm, found.rows[0].reference.version) == (9, 1)
        assert client.drift_course(7, start="now-1h").points[0].statistic == 0.5
        assert dict(server.requests[1].url.params) == {"from": "now-1h", "monitor_id": "7"}
        told = client.drift_episode("e").explanation
        assert told is not None
        assert told.map is not None
        assert told.map.current_exchanges == ("ab", None)

    def test_a_change_is_expected_by_one_and_approved_by_another(self) -> None:
        reference = {"id": "r2", "place_id": 3, "version": 2, "state": "proposed", "revision": 1}
        server = Recorder(httpx.Response(201, json=reference), httpx.Response(200, json=reference))
        client = client_for(server)
        assert client.propose_drift_reference(3, "announced last week").version == 2
        client.approve_drift_reference("r2", comment="yes", revision=1)
        assert [one.url.path for one in server.requests] == [
            "/api/v1/drift/references",
            "/api/v1/drift/references/r2/approve",
        ]
        assert server.requests[1].headers["if-match"] == '"1"'

    def test_a_report_comes_as_evidently_made_it(self) -> None:
        server = Recorder(httpx.Response(202, json={"id": "p", "state": "requested"}), httpx.Response(200, text="<p>"))
        client = client_for(server)
        assert client.request_drift_report(7, "e") == "p"
        assert client.drift_report("p") == b"<p>"
        assert server.requests[1].url.path == "/api/v1/drift/reports/p/html"
