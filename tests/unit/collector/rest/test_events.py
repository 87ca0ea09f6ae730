"""GenAI events over HTTP: partial success for other logs, and traces that show what events told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from collector.dialects.span import NormalSpan
from collector.otlp.body import Encoding

TRACE_ID = f"{1:032x}"
SPAN_ID = f"{1:016x}"
HERE = {"traceId": TRACE_ID, "spanId": SPAN_ID}
USER = {**HERE, "eventName": "gen_ai.user.message", "body": {"content": "Hello?"}}
CHOICE = {
    **HERE,
    "eventName": "gen_ai.choice",
    "body": {"index": 0, "finish_reason": "stop", "message": {"content": "Hi."}},
}
EVALUATION = {
    **HERE,
    "eventName": "gen_ai.evaluation.result",
    "timeUnixNano": "5",
    "attributes": {"gen_ai.evaluation.name": "tone"},
}

Chat = Callable[..., NormalSpan]
Write = Callable[..., bytes]


def send(server: Any, body: bytes, encoding: Encoding = Encoding.JSON) -> bytes:
    headers = {"content-type": encoding.value}
    answer = server.client("ingester").post("/v1/logs", content=body, headers=headers)
    assert answer.status_code == 200, answer.content
    found: bytes = answer.content
    return found


class TestAnswer:
    @pytest.mark.parametrize("encoding", list(Encoding))
    def test_other_logs_are_rejected_with_a_reason(
        self, local_server: Any, write_logs: Write, encoding: Encoding
    ) -> None:
        body = write_logs([USER, {"body": "GET / 200"}, {"body": "GET / 404"}], encoding)
        answer = send(local_server, body, encoding)
        if encoding is Encoding.JSON:
            partial = orjson.loads(answer)["partialSuccess"]
            count, message = partial["rejectedLogRecords"], partial["errorMessage"]
        else:
            told = ExportLogsServiceResponse.FromString(answer).partial_success
            count, message = str(told.rejected_log_records), told.error_message
        assert count == "2"
        assert "not_genai_event" in message

    def test_nothing_refused_is_a_plain_success(self, local_server: Any, write_logs: Write) -> None:
        assert send(local_server, write_logs([USER])) == b"{}"
        assert send(local_server, write_logs([USER], Encoding.PROTOBUF), Encoding.PROTOBUF) == b""

    def test_a_viewer_may_not_send(self, local_server: Any, write_logs: Write) -> None:
        headers = {"content-type": "application/json"}
        assert local_server.client("viewer").post("/v1/logs", content=b"{}", headers=headers).status_code == 403


class TestTrace:
    def test_a_span_shows_what_its_events_told(self, server: Any, chat: Chat, write_logs: Write) -> None:
        send(server, write_logs([CHOICE, EVALUATION, USER]))
        server.store(chat(0, prompt=None, response=None))
        answer = server.dev_client().get(f"/api/v1/traces/{TRACE_ID}").json()
        (span,) = answer["spans"]
        assert [one["role"] for one in span["input_messages"]] == ["user"]
        assert span["output_messages"][0]["parts"] == [{"type": "text", "content": "Hi."}]
        assert span["finish_reasons"] == ["stop"]
        assert [(one["name"], one["time_ns"]) for one in span["events"]] == [("gen_ai.evaluation.result", 5)]
        (found,) = answer["exchanges"]
        assert (found["prompt"], found["response"]) == ("Hello?", "Hi.")

    def test_what_events_told_is_captured_text(self, server: Any, chat: Chat, write_logs: Write) -> None:
        send(server, write_logs([CHOICE, EVALUATION, USER]))
        server.store(chat(0, prompt=None, response=None))
        answer = server.client("analyst").get(f"/api/v1/traces/{TRACE_ID}")
        assert (answer.json()["spans"][0]["input_messages"], answer.json()["spans"][0]["events"]) == (None, None)
        assert "Hello?" not in answer.text
        assert "Hi." not in answer.text

    def test_its_text_can_be_revealed(self, server: Any, chat: Chat, write_logs: Write) -> None:
        server.store(chat(0, prompt=None, response=None))
        send(server, write_logs([CHOICE, USER]))
        found = server.client("analyst").post(
            f"/api/v1/exchanges/{TRACE_ID}{SPAN_ID}/reveal", json={"reason": "a complaint"}
        )
        assert (found.status_code, found.json()["prompt"], found.json()["response"]) == (200, "Hello?", "Hi.")


class TestCoverage:
    @pytest.mark.parametrize("logs_first", [True, False])
    def test_text_of_events_is_text(self, server: Any, chat: Chat, write_logs: Write, logs_first: bool) -> None:
        if logs_first:
            send(server, write_logs([CHOICE, USER]))
        server.store(chat(0, prompt=None, response=None), chat(1, prompt=None, response=None))
        if not logs_first:
            send(server, write_logs([CHOICE, USER]))
        (row,) = server.client("viewer").get("/api/v1/coverage").json()["rows"]
        assert (row["exchanges"], row["with_text_ratio"]) == (2, 0.5)
