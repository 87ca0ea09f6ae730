"""Every recorded request of a real client, sent again as it was sent, gives complete exchanges over the API."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from collector.otlp.body import parse_content_type, read_body
from collector.otlp.decode import decode_request
from custodes.kernel.settings import IngestSettings

pytestmark = pytest.mark.timeout(300)

DATA = Path(__file__).parent.parent / "data" / "otlp"
RECORDINGS: dict[str, Any] = json.loads((DATA / "recordings.json").read_text())
QUESTION = "When does the warehouse open?"
PROTOBUF = {"content-type": "application/x-protobuf"}
ANSWER = "The warehouse opens at nine."
# Text of this client's calls is in detailed traces alone, which hold prompts of its maker's.
WITHOUT_TEXT = "claude-code-"
# These send of a retriever's documents their number or their ids alone.
WITHOUT_DOCUMENTS = ("genai-langchain-", "mlflow-3.17.2-genai-")


@dataclass
class Stored:
    """What became of one recording: its exchanges with their spans, and the tokens of all its spans together."""

    exchanges: list[dict[str, Any]]
    tokens: list[int]


@pytest.fixture(scope="module")
def server(shared_launch: Any) -> Any:
    return shared_launch()


@pytest.fixture(scope="module")
def replayed(server: Any, wait_for: Any) -> dict[str, Stored]:
    """What became of every recording, once all exchanges are scored."""
    traces: dict[str, set[str]] = {}
    with httpx.Client(base_url=server.url, trust_env=False, timeout=20) as client:
        for name, recording in RECORDINGS.items():
            body = (DATA / f"{name}.bin").read_bytes()
            traces[name] = trace_ids(body, recording["headers"])
            chunked = recording["headers"].get("transfer-encoding") == "chunked"
            headers = {key: value for key, value in recording["headers"].items() if key != "transfer-encoding"}
            content = iter([body[:100], body[100:]]) if chunked else body
            answer = client.post(recording["path"], content=content, headers=headers)
            assert answer.status_code == 200, (name, answer.text)
            assert answer.headers["content-type"] == recording["headers"]["content-type"]
            assert answer.content in {b"", b"{}"}, name
            logs = DATA / f"{name}-logs.bin"
            if logs.exists():
                answer = client.post("/v1/logs", content=logs.read_bytes(), headers=PROTOBUF)
                assert answer.status_code == 200, name
                refused = ExportLogsServiceResponse.FromString(answer.content).partial_success.error_message
                assert not refused or refused.split(";")[0].endswith("not_genai_event"), refused
    found: dict[str, Stored] = {}

    def all_scored() -> bool:
        found.update({name: load(server, ids) for name, ids in traces.items()})
        return all(one["state"] != "pending" for stored in found.values() for one in stored.exchanges)

    wait_for(all_scored, 90, "every recorded exchange being scored")
    return found


def trace_ids(body: bytes, headers: Mapping[str, str]) -> set[str]:
    settings = IngestSettings()
    plain = read_body(body, headers.get("content-encoding"), settings)
    decoded = decode_request(plain, parse_content_type(headers["content-type"]), settings, 1 << 62)
    return {span.trace_id for span in decoded.spans}


def load(server: Any, trace_ids: set[str]) -> Stored:
    stored = Stored([], [0, 0])
    for trace_id in sorted(trace_ids):
        trace = server.get(f"/api/v1/traces/{trace_id}")
        spans = {span["span_id"]: span for span in trace["spans"]}
        stored.exchanges.extend({**one, "span": spans[one["span_id"]]} for one in trace["exchanges"])
        for place, field in enumerate(("input_tokens", "output_tokens")):
            stored.tokens[place] += sum(span[field] or 0 for span in spans.values())
    return stored


class TestRecordings:
    def test_every_recorded_body_is_listed_with_the_headers_it_came_with(self) -> None:
        golden = json.loads((DATA / "golden.json").read_text())
        traces = {path.stem for path in DATA.glob("*.bin") if not path.stem.endswith(("-logs", "-metrics"))}
        assert set(RECORDINGS) == traces - set(golden) - {"langfuse-5.0.4"}

    @pytest.mark.parametrize("name", list(RECORDINGS))
    def test_a_recorded_request_gives_its_exchanges_complete(self, replayed: dict[str, Stored], name: str) -> None:
        recording, stored = RECORDINGS[name], replayed[name]
        assert len(stored.exchanges) == recording["exchanges"]
        assert stored.tokens == recording["tokens"], "each call is counted once"
        for one in stored.exchanges:
            outputs = one["span"]["output_messages"]
            kinds = Counter(part["type"] for message in outputs for part in message["parts"])
            assert one["span"]["model"].startswith(("gpt-4o-mini", "claude-"))
            if not name.startswith(WITHOUT_TEXT):
                assert QUESTION in one["prompt"]
                assert one["response"] == ANSWER or (one["response"] is None and kinds["tool_call"] == 1)

    @pytest.mark.parametrize("name", [name for name in RECORDINGS if name.endswith("-retrieval")])
    def test_retrieved_documents_are_joined_to_the_answer(self, replayed: dict[str, Stored], name: str) -> None:
        (one,) = replayed[name].exchanges
        hallucination = one["scores"]["hallucination"]
        if name.startswith(WITHOUT_DOCUMENTS):
            assert (hallucination["state"], hallucination["reason"]) == ("not_assessed", "no_context")
        else:
            assert one["contexts"] == ["The warehouse opens at nine on weekdays.", "Deliveries go through gate four."]
            assert hallucination["state"] == "assessed"

    def test_nothing_was_lost_on_the_way(self, server: Any, replayed: dict[str, Stored]) -> None:
        ledger = server.get("/api/v1/ledger", **{"from": "2020-01-01T00:00:00Z"})
        assert ledger["rejected"] == {}
        assert ledger["received"] == ledger["stored"] + ledger["duplicates"]
        assert ledger["exchanges"] == sum(recording["exchanges"] for recording in RECORDINGS.values())
