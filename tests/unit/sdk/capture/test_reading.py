"""Captured bytes to what they say: streams, encodings, times; and nothing a client or a server writes can raise."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custodes_sdk.capture.encoding import decode_body
from custodes_sdk.capture.otlp import Origin, call_to_span, encode_calls
from custodes_sdk.capture.reading import read_call
from custodes_sdk.capture.record import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, CallRecord, captured_path
from custodes_sdk.capture.sse import read_events

KINDS = (CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS)
SECOND = 1_000_000_000
MEMBERS = (
    "choices",
    "delta",
    "message",
    "content",
    "role",
    "tool_calls",
    "function",
    "arguments",
    "index",
    "text",
    "type",
    "response",
    "output",
    "usage",
    "prompt_tokens",
    "prompt_tokens_details",
    "error",
    "messages",
    "input",
    "model",
    "user",
    "metadata",
    "conversation",
    "documents",
    "temperature",
    "prompt",
    "finish_reason",
    "image_url",
    "summary",
    "incomplete_details",
    "item",
    "reasoning",
    "id",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "message",
                    "content",
                    "role",
                    "tool_calls",
                    "function",
                    "arguments",
                    "index",
                    "text",
                    "type",
                    "response",
                    "output",
                    "usage",
                    "prompt_tokens",
                    "prompt_tokens_details",
                    "error",
                    "messages",
                    "input",
                    "model",
                    "user",
                    "metadata",
                    "conversation",
                    "documents",
                    "tools",
                    "prompt",
                    "finish_reason",
                    "image_url",
                    "url",
                    "summary",
                    "status",
                    "incomplete_details",
                    "item",
                    "reasoning",
                    "id",
                    "name",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def record(
    kind: str = CHAT,
    request: Any = None,
    answer: bytes | Any = b"{}",
    *,
    content_type: str = "application/json",
    coding: str = "",
    pieces: list[tuple[bytes, int]] | None = None,
    status: int | None = 200,
    limit: int = 100_000,
    headers: dict[str, str] | None = None,
) -> CallRecord:
    given = [(name.encode(), value.encode("utf-8")) for name, value in (headers or {}).items()]
    made = CallRecord.begin(kind, f"/v1{kind}", given, limit=limit, now_ns=lambda: SECOND)
    made.request.add(request if isinstance(request, bytes) else json.dumps(request or {}).encode())
    if status is not None:
        made.answer(status, [(b"Content-Type", content_type.encode()), (b"content-encoding", coding.encode())])
    for piece, at in pieces or [(answer if isinstance(answer, bytes) else json.dumps(answer).encode(), 2 * SECOND)]:
        made.piece(piece, at)
    made.finish(3 * SECOND)
    return made


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def said(made: CallRecord) -> Any:
    text = read_call(made, capture_text=True).attributes.get("gen_ai.output.messages")
    return None if text is None else json.loads(text)


class TestPaths:
    @pytest.mark.parametrize(
        ("method", "path", "kind"),
        [
            ("POST", "/v1/chat/completions", CHAT),
            ("POST", "/openai/deployments/gpt/chat/completions", CHAT),
            ("POST", "/v1/completions/", COMPLETIONS),
            ("POST", "/v1/responses", RESPONSES),
            ("POST", "/v1/embeddings", EMBEDDINGS),
            ("GET", "/v1/chat/completions", None),
            ("POST", "/v1/responses/resp_1/cancel", None),
            ("POST", "/v1/files", None),
        ],
    )
    def test_it_knows_which_calls_hold_text(self, method: str, path: str, kind: str | None) -> None:
        assert captured_path(method, path) == kind


class TestEvents:
    @pytest.mark.parametrize(
        ("body", "events"),
        [
            (b'data: {"a": 1}\n\ndata: {"b": 2}\n\ndata: [DONE]\n\n', [(0, {"a": 1}), (16, {"b": 2})]),
            (b'data:{"a": 1}\r\n\r\n', [(0, {"a": 1})]),
            (b': ping\n\nevent: x\ndata: {"a":\ndata: 1}\n\n', [(8, {"a": 1})]),
            (b'data: {"a": 1}', [(0, {"a": 1})]),
            (b'data: {"a": \n\ndata: 7\n\nnonsense\n\n', []),
            (b"", []),
        ],
    )
    def test_it_reads_what_servers_write(self, body: bytes, events: Any) -> None:
        assert list(read_events(body)) == events


class TestTimes:
    def test_the_first_token_is_the_first_event_that_says_something(self) -> None:
        opening = event(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}])
        word = event(choices=[{"index": 0, "delta": {"content": "a"}}])
        pieces = [(opening[:10], SECOND), (opening[10:], SECOND), (word, int(1.25 * SECOND)), (word, 2 * SECOND)]
        call = read_call(record(content_type="text/event-stream", pieces=pieces), capture_text=True)
        assert call.attributes["gen_ai.response.time_to_first_chunk"] == 0.25

    def test_thinking_and_tool_calls_are_tokens_too(self) -> None:
        for delta in ({"reasoning_content": "hm"}, {"tool_calls": [{"index": 0}]}):
            made = record(content_type="text/event-stream", answer=event(choices=[{"index": 0, "delta": delta}]))
            assert read_call(made, capture_text=True).attributes["gen_ai.response.time_to_first_chunk"] == 1.0

    def test_an_answer_at_once_has_none(self) -> None:
        assert "gen_ai.response.time_to_first_chunk" not in read_call(record(), capture_text=True).attributes


class TestStreams:
    def test_choices_are_kept_apart(self) -> None:
        body = b"".join(
            event(choices=[{"index": n, "delta": {"content": text}, "finish_reason": end}])
            for n, text, end in [(1, "b", None), (0, "a", None), (0, "a", "stop"), (1, "b", "length")]
        )
        first, second = said(record(content_type="text/event-stream", answer=body))
        assert (first["parts"][0]["content"], first["finish_reason"]) == ("aa", "stop")
        assert (second["parts"][0]["content"], second["finish_reason"]) == ("bb", "length")

    def test_a_responses_stream_that_was_cut_off_gives_what_came(self) -> None:
        body = event(type="response.created", response={"model": "m", "output": []})
        body += event(type="response.output_text.delta", output_index=0, content_index=0, delta="half an ")
        body += event(type="response.output_text.delta", output_index=0, content_index=0, delta="answer")
        assert said(record(RESPONSES, content_type="text/event-stream", answer=body))[0]["parts"] == [
            {"type": "text", "content": "half an answer"}
        ]

    def test_an_error_inside_a_stream_is_an_error(self) -> None:
        body = event(error={"message": "engine died", "type": "server_error"})
        call = read_call(record(content_type="text/event-stream", answer=body), capture_text=True)
        assert (call.error, call.error_message) == ("server_error", "engine died")

    def test_a_tool_call_that_was_cut_off_keeps_its_half(self) -> None:
        call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a": '}}
        body = event(choices=[{"index": 0, "delta": {"tool_calls": [call]}}])
        assert said(record(content_type="text/event-stream", answer=body))[0]["parts"] == [
            {"type": "tool_call", "id": "c", "name": "f", "arguments": '{"a": '}
        ]


class TestEncodings:
    PLAIN = json.dumps({"choices": [{"message": {"content": "a"}}]}).encode()

    @pytest.mark.parametrize(
        ("coding", "body"),
        [("gzip", gzip.compress(PLAIN)), ("deflate", zlib.compress(PLAIN)), ("deflate", zlib.compress(PLAIN)[2:-4])],
        # A gzip header holds the time: a name made from the body would differ between the processes that collect it.
        ids=["gzip", "deflate", "deflate without a header"],
    )
    def test_it_reads_what_the_proxy_asks_for(self, coding: str, body: bytes) -> None:
        assert said(record(coding=coding, answer=body))[0]["parts"][0]["content"] == "a"

    @pytest.mark.parametrize(("coding", "body"), [("br", b"x"), ("gzip", b"no gzip"), ("gzip, gzip", b"")])
    def test_what_it_cannot_read_is_marked(self, coding: str, body: bytes) -> None:
        call = read_call(record(coding=coding, answer=body), capture_text=True)
        assert call.dropped == 1
        assert call.attributes["custodes.capture.lost"] == ["response_unreadable"]

    def test_a_bomb_is_not_unpacked(self) -> None:
        bomb = gzip.compress(b"0" * 50_000_000)
        assert decode_body(bomb, "gzip", 100_000) is None

    def test_half_a_body_gives_half_the_text(self) -> None:
        whole = gzip.compress(bytes(range(256)) * 40)
        half = decode_body(whole[: len(whole) // 2], "gzip", 100_000)
        assert half is not None
        assert (bytes(range(256)) * 40).startswith(half)


class TestIdentity:
    @pytest.mark.parametrize(
        ("request_body", "headers", "session", "user"),
        [
            ({"user": "u"}, {}, None, "u"),
            ({"safety_identifier": "u"}, {}, None, "u"),
            ({"metadata": {"session_id": "s", "user_id": "u"}}, {}, "s", "u"),
            ({"conversation": {"id": "c"}}, {}, "c", None),
            ({"conversation": "c", "user": "u"}, {"X-Custodes-Session": "s", "x-user-id": "v"}, "s", "v"),
        ],
    )
    def test_it_is_found_wherever_clients_put_it(
        self, request_body: Any, headers: dict[str, str], session: str | None, user: str | None
    ) -> None:
        found = read_call(record(request=request_body, headers=headers), capture_text=True).attributes
        assert (found.get("session.id"), found.get("user.id")) == (session, user)

    def test_what_authorises_is_not_even_held(self) -> None:
        made = record(headers={"authorization": "Bearer sk-1", "cookie": "a=b", "traceparent": "x"})
        assert made.request_headers == ((b"traceparent", b"x"),)


class TestAnything:
    @settings(deadline=None, max_examples=300)
    @given(st.sampled_from(KINDS), JSON, JSON, st.booleans(), st.sampled_from([200, 400, None]), st.booleans())
    def test_no_json_raises_and_all_of_it_can_be_written(
        self, kind: str, request: Any, answer: Any, streamed: bool, status: int | None, text: bool
    ) -> None:
        body = json.dumps(answer).encode()
        if streamed:
            body = b"data: " + body + b"\n\n" + b"data: " + body + b"\n\n"
        made = record(
            kind,
            json.dumps(request).encode(),
            body,
            content_type="text/event-stream" if streamed else "application/json",
            status=status,
        )
        span = call_to_span(made, Origin("s", capture_text=text))
        for attribute in span["attributes"]:
            assert set(attribute["value"]) <= {"stringValue", "intValue", "doubleValue", "boolValue", "arrayValue"}
        encode_calls([made], Origin("s")).decode()

    @settings(deadline=None, max_examples=200)
    @given(
        st.sampled_from(KINDS), st.binary(), st.binary(), st.sampled_from(["", "gzip", "deflate", "br"]), st.booleans()
    )
    def test_no_bytes_raise(self, kind: str, request: bytes, answer: bytes, coding: str, streamed: bool) -> None:
        content_type = "text/event-stream" if streamed else "application/json"
        encode_calls([record(kind, request, answer, content_type=content_type, coding=coding)], Origin("s"))

    def test_a_text_the_server_would_refuse_goes_alone(self) -> None:
        request = {"messages": [{"role": "user", "content": "é" * 1_600_000}], "model": "m"}
        call = read_call(record(request=request, limit=20_000_000), capture_text=True)
        assert "gen_ai.input.messages" not in call.attributes
        assert call.attributes["custodes.capture.lost"] == ["gen_ai.input.messages_too_large"]
        assert (call.dropped, call.model) == (1, "m")

    def test_numbers_beyond_bounds_are_written_or_left_out(self) -> None:
        request = b'{"temperature": NaN, "top_p": 1e999, "seed": 1' + b"0" * 400 + b"}"
        found = read_call(record(request=request), capture_text=True).attributes
        assert set(found) & {"gen_ai.request.temperature", "gen_ai.request.top_p"} == set()
        assert b"NaN" not in encode_calls([record(request=request)], Origin("s"))

    def test_deep_nesting_is_unreadable_and_nothing_worse(self) -> None:
        deep = b'{"messages": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
        call = read_call(record(request=deep, answer=deep, limit=1_000_000), capture_text=True)
        assert call.attributes["custodes.capture.lost"] == ["request_unreadable", "response_unreadable"]

    @pytest.mark.parametrize("depth", [100, 500, 900, 980])
    def test_no_depth_takes_other_calls_with_it(self, depth: int) -> None:
        deep = b'{"messages": [{"content": ' + b'{"a":' * depth + b"1" + b"}" * depth + b"}]}"
        body = json.loads(encode_calls([record(request=deep), record()], Origin("s")))
        assert len(body["resourceSpans"][0]["scopeSpans"][0]["spans"]) == 2
