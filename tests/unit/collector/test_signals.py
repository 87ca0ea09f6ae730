"""Logs from the bytes of a request to what is read back: joined to their spans in any order, each stored once."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from sqlalchemy import func, select, update

from collector.arrivals import prepare_request
from collector.content import Contents, open_contents
from collector.dialects.events import read_event
from collector.dialects.span import NormalSpan
from collector.exchanges import StoredExchange, read_batch_exchanges, read_exchange
from collector.intake import Intake
from collector.otlp.body import Encoding
from collector.otlp.logs import decode_logs
from collector.otlp.spans import Rejection
from collector.signals import SignalIntake
from collector.store import store_requests
from collector.store_events import pack_events, store_events, to_incoming
from custodes.db import Database, open_database
from custodes.db.tables import exchange, genai_event, ingest_batch, metric_point, metric_series, project
from custodes.kernel.errors import MalformedError
from custodes.kernel.ids import RowIds
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import IngestSettings, Settings

FOLDER = Path(__file__).parents[2] / "data" / "otlp"
GOLDEN: dict[str, Any] = json.loads((FOLDER / "golden.json").read_text())
RECORDED = ["genai-1.3b0-chat", "genai-1.3b0-stream", "genai-1.3b0-tools"]
TEXT = {"gen_ai.input.messages", "gen_ai.output.messages"}
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"
USER = {"eventName": "gen_ai.user.message", "traceId": TRACE_ID, "spanId": SPAN_ID, "body": {"content": "Hello?"}}
CHOICE = {
    "eventName": "gen_ai.choice",
    "traceId": TRACE_ID,
    "spanId": SPAN_ID,
    "body": {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi."}},
}

Write = Callable[..., bytes]
Chat = Callable[..., NormalSpan]


def recorded_logs(name: str) -> bytes:
    return (FOLDER / f"{name}-logs.bin").read_bytes()


def recorded_spans(name: str, *, text: bool) -> bytes:
    """Return a recorded trace body, with its messages or as the client sends it that puts them on events only."""
    request = ExportTraceServiceRequest.FromString((FOLDER / f"{name}.bin").read_bytes())
    for block in request.resource_spans:
        for scope in block.scope_spans:
            for span in scope.spans:
                kept = [pair for pair in span.attributes if text or pair.key not in TEXT]
                del span.attributes[:]
                span.attributes.extend(kept)
    return bytes(request.SerializeToString())


@dataclass
class Process:
    """One process of an installation: its own connections, its own intakes."""

    database: Database
    contents: Contents
    now_ns: int
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        settings = IngestSettings()
        self.signals = SignalIntake(self.database, self.contents, settings, self.metrics, lambda: self.now_ns)
        self.intake = Intake(self.database, self.contents, settings, self.metrics, lambda: self.now_ns)

    def take_spans(self, body: bytes) -> None:
        self.intake.start()
        self.intake.ingest_plain("default", body, Encoding.PROTOBUF).result(timeout=20)

    def store(self, *spans: NormalSpan) -> int | None:
        request = prepare_request("default", spans, Counter(), self.now_ns, self.contents)
        with self.database.write() as tx:
            return store_requests(tx, [request], RowIds(), self.contents).outcomes[0].batch_id

    def finish_batches(self) -> None:
        """Do as if everything that waits were scored."""
        with self.database.write() as tx:
            tx.execute(update(ingest_batch).values(state="done"))

    def ready_exchanges(self) -> list[StoredExchange]:
        with self.database.read() as tx:
            ready = tx.execute(select(ingest_batch.c.id).where(ingest_batch.c.state == "ready")).scalars().all()
            return [one for batch in ready for one in read_batch_exchanges(tx, self.contents, batch)]

    def read(self, trace_id: str, span_id: str) -> StoredExchange:
        with self.database.read() as tx:
            found = read_exchange(tx, self.contents, "default", trace_id, span_id)
        assert found is not None
        return found

    def count(self, table: Any) -> int:
        with self.database.read() as tx:
            return int(tx.execute(select(func.count()).select_from(table)).scalar_one())


@pytest.fixture
def processes(database_url: str, tmp_path: Path, now_ns: int) -> Iterator[list[Process]]:
    """Two processes on one database, once per supported database."""
    with ExitStack() as stack:
        made: list[Process] = []
        for _ in range(2):
            database = open_database(database_url)
            stack.callback(database.dispose)
            if not made:
                with database.write() as tx:
                    tx.execute(project.insert().values(id="default", created_ns=0))
            contents = open_contents(database, Settings(data_dir=tmp_path), Metrics(), lambda: now_ns)
            one = Process(database, contents, now_ns)
            stack.callback(one.intake.stop)
            made.append(one)
        yield made


@pytest.fixture
def process(processes: list[Process]) -> Process:
    """One process, once per supported database."""
    return processes[0]


class TestRecordedEvents:
    """The client's own logs and spans, the text on the events only."""

    @pytest.mark.parametrize("name", RECORDED)
    @pytest.mark.parametrize("logs_first", [True, False], ids=["log first", "span first"])
    @pytest.mark.parametrize("apart", [False, True], ids=["one process", "two processes"])
    def test_the_exchange_is_complete_in_any_order(
        self, processes: list[Process], name: str, logs_first: bool, apart: bool
    ) -> None:
        for_logs, for_spans = processes[0], processes[1 if apart else 0]
        spans = recorded_spans(name, text=False)
        if logs_first:
            outcome = for_logs.signals.ingest_logs("default", recorded_logs(name), Encoding.PROTOBUF)
            for_spans.take_spans(spans)
        else:
            for_spans.take_spans(spans)
            for_spans.finish_batches()
            outcome = for_logs.signals.ingest_logs("default", recorded_logs(name), Encoding.PROTOBUF)
        expected = GOLDEN[name]["spans"]
        assert (outcome.accepted, outcome.duplicates, outcome.rejected) == (len(expected), 0, Counter())
        assert outcome.queued == (0 if logs_first else len(expected))
        found = {one.span_id: one for one in for_spans.ready_exchanges()}
        for one in expected:
            read = found[one["span_id"]]
            assert (read.prompt, read.response, read.incomplete) == (one["prompt"], one["response"], None)

    @pytest.mark.parametrize("name", RECORDED)
    def test_text_that_the_span_has_as_well_counts_once(self, process: Process, name: str) -> None:
        process.take_spans(recorded_spans(name, text=True))
        silent = sum(one["prompt"] is None or one["response"] is None for one in GOLDEN[name]["spans"])
        assert process.signals.ingest_logs("default", recorded_logs(name), Encoding.PROTOBUF).queued == silent
        found = {one.span_id: (one.prompt, one.response) for one in process.ready_exchanges()}
        assert found == {one["span_id"]: (one["prompt"], one["response"]) for one in GOLDEN[name]["spans"]}


class TestResending:
    def test_a_record_sent_twice_is_stored_once(self, process: Process, write_logs: Write, chat_span: Chat) -> None:
        process.store(chat_span(None, None))
        body = write_logs([USER, CHOICE, USER])
        first = process.signals.ingest_logs("default", body, Encoding.JSON)
        process.finish_batches()
        second = process.signals.ingest_logs("default", body, Encoding.JSON)
        assert (first.accepted, first.duplicates, first.queued) == (2, 1, 1)
        assert (second.accepted, second.duplicates, second.queued) == (0, 3, 0)
        assert process.count(genai_event) == 2
        assert process.ready_exchanges() == []

    def test_both_encodings_are_the_same_record(self, process: Process, write_logs: Write) -> None:
        for encoding in Encoding:
            process.signals.ingest_logs("default", write_logs([USER, CHOICE], encoding), encoding)
        assert process.count(genai_event) == 2

    def test_another_project_has_its_own(self, process: Process, write_logs: Write, chat_span: Chat) -> None:
        with process.database.write() as tx:
            tx.execute(project.insert().values(id="other", created_ns=0))
        process.store(chat_span(None, None))
        outcome = process.signals.ingest_logs("other", write_logs([USER, CHOICE]), Encoding.JSON)
        assert (outcome.accepted, outcome.queued) == (2, 0)
        assert process.read(TRACE_ID, SPAN_ID).prompt is None

    def test_a_process_that_died_before_the_join_is_made_up_for(
        self, process: Process, write_logs: Write, chat_span: Chat
    ) -> None:
        process.store(chat_span(None, None))
        process.finish_batches()
        body = write_logs([USER, CHOICE])
        decoded = decode_logs(body, Encoding.JSON, IngestSettings(), process.now_ns)
        events = [to_incoming(one.trace_id, one.span_id, "bot", read_event(one)) for one in decoded.events]
        packed = pack_events(process.contents, "default", events)
        with process.database.write() as tx:
            store_events(tx, process.contents, "default", events, packed, RowIds().take(2), process.now_ns)
        outcome = process.signals.ingest_logs("default", body, Encoding.JSON)
        assert (outcome.accepted, outcome.duplicates, outcome.queued) == (0, 2, 1)
        assert [one.prompt for one in process.ready_exchanges()] == ["Hello?"]


class TestJoin:
    def test_single_messages_of_several_requests_build_one_exchange(
        self, processes: list[Process], write_logs: Write, chat_span: Chat
    ) -> None:
        first, second = processes
        late = {**CHOICE, "timeUnixNano": "30"}
        followed = [
            {**USER, "timeUnixNano": "10", "body": {"content": "Hello?"}},
            {**USER, "timeUnixNano": "20", "body": {"content": "Anyone?"}},
        ]
        second.signals.ingest_logs("default", write_logs([late]), Encoding.JSON)
        first.store(chat_span(None, None))
        first.signals.ingest_logs("default", write_logs(list(reversed(followed))), Encoding.JSON)
        found = second.read(TRACE_ID, SPAN_ID)
        assert (found.prompt, found.response, found.incomplete) == ("Hello?\nAnyone?", "Hi.", None)

    def test_each_side_comes_from_where_it_is(self, process: Process, write_logs: Write, chat_span: Chat) -> None:
        process.store(chat_span("From the span.", None))
        process.signals.ingest_logs("default", write_logs([USER, CHOICE]), Encoding.JSON)
        found = process.read(TRACE_ID, SPAN_ID)
        assert (found.prompt, found.response) == ("From the span.", "Hi.")

    def test_text_hidden_on_the_span_is_taken_from_the_event(
        self, process: Process, write_logs: Write, chat_span: Chat
    ) -> None:
        process.store(chat_span("__REDACTED__", "Hi."))
        process.finish_batches()
        assert process.signals.ingest_logs("default", write_logs([USER]), Encoding.JSON).queued == 1
        assert process.read(TRACE_ID, SPAN_ID).prompt == "Hello?"

    def test_messages_cut_off_on_the_span_give_way_to_whole_ones(
        self, process: Process, write_logs: Write, chat_span: Chat
    ) -> None:
        process.store(chat_span(None, "Hi.", attributes={"gen_ai.input.messages": '[{"role": "user", "par'}))
        assert process.read(TRACE_ID, SPAN_ID).incomplete == "content_unreadable"
        process.signals.ingest_logs("default", write_logs([USER]), Encoding.JSON)
        found = process.read(TRACE_ID, SPAN_ID)
        assert (found.prompt, found.incomplete) == ("Hello?", None)

    def test_attributes_the_event_lost_make_it_incomplete(
        self, process: Process, write_logs: Write, chat_span: Chat
    ) -> None:
        process.store(chat_span(None, None))
        process.signals.ingest_logs("default", write_logs([{**USER, "droppedAttributesCount": 2}]), Encoding.JSON)
        assert process.read(TRACE_ID, SPAN_ID).incomplete == "attributes_dropped"

    def test_text_of_an_event_is_hidden_with_the_span_of_an_erased_person(
        self, process: Process, write_logs: Write, chat_span: Chat
    ) -> None:
        process.store(chat_span(None, None, attributes={"user.id": "ann"}))
        process.signals.ingest_logs("default", write_logs([USER, CHOICE]), Encoding.JSON)
        with process.database.write() as tx:
            process.contents.destroy_subject_keys(tx, "default", "ann")
        found = process.read(TRACE_ID, SPAN_ID)
        assert (found.prompt, found.response, found.incomplete) == (None, None, "erased")

    def test_text_of_an_event_that_names_the_person_is_erased_itself(
        self, process: Process, write_logs: Write, chat_span: Chat
    ) -> None:
        process.store(chat_span(None, None))
        records = [{**USER, "attributes": {"user.id": "ann"}}, CHOICE]
        process.signals.ingest_logs("default", write_logs(records), Encoding.JSON)
        with process.database.write() as tx:
            assert process.contents.destroy_subject_keys(tx, "default", "ann") == 1
        found = process.read(TRACE_ID, SPAN_ID)
        assert (found.prompt, found.response) == (None, "Hi.")

    def test_events_without_messages_queue_nothing(self, process: Process, write_logs: Write, chat_span: Chat) -> None:
        process.store(chat_span())
        process.finish_batches()
        record = {**USER, "eventName": "gen_ai.evaluation.result", "attributes": {"gen_ai.evaluation.name": "tone"}}
        outcome = process.signals.ingest_logs("default", write_logs([record]), Encoding.JSON)
        assert (outcome.accepted, outcome.queued) == (1, 0)

    def test_an_exchange_of_many_moves_to_one_new_batch(
        self, process: Process, write_logs: Write, chat_span: Chat
    ) -> None:
        spans = [chat_span(None, None, span_id=f"{n:016x}") for n in range(1, 8)]
        before = process.store(*spans)
        process.finish_batches()
        records = [{**USER, "spanId": one.span_id} for one in spans]
        assert process.signals.ingest_logs("default", write_logs(records), Encoding.JSON).queued == 7
        with process.database.read() as tx:
            batches = set(tx.execute(select(exchange.c.batch_id)).scalars())
            row = tx.execute(select(ingest_batch).where(ingest_batch.c.id.in_(batches))).one()
        assert (len(batches), before in batches, row.state, row.exchanges) == (1, False, "ready", 7)

    def test_a_span_that_commits_while_its_event_is_stored_misses_nothing(
        self, postgres_database_url: str, tmp_path: Path, now_ns: int, write_logs: Write, chat_span: Chat
    ) -> None:
        database = open_database(postgres_database_url)
        with database.write() as tx:
            tx.execute(project.insert().values(id="default", created_ns=0))
        process = Process(
            database, open_contents(database, Settings(data_dir=tmp_path), Metrics(), lambda: now_ns), now_ns
        )
        # The keys of today's text exist, as they do from the first request of the day on.
        process.store(chat_span(span_id="1" * 16))
        request = prepare_request("default", [chat_span(None, None)], Counter(), now_ns, process.contents)
        outcomes = []

        def ingest() -> None:
            outcomes.append(process.signals.ingest_logs("default", write_logs([USER, CHOICE]), Encoding.JSON))

        with database.write() as tx:
            batch = store_requests(tx, [request], RowIds(), process.contents).outcomes[0].batch_id
            thread = threading.Thread(target=ingest)
            thread.start()
            thread.join(timeout=20)
            assert [one.queued for one in outcomes] == [0]
        assert batch is not None
        with database.read() as view:
            (found,) = read_batch_exchanges(view, process.contents, batch)
        assert (found.prompt, found.response) == ("Hello?", "Hi.")
        database.dispose()


class TestManyAtOnce:
    def test_the_same_request_from_everywhere_is_stored_once(
        self, processes: list[Process], write_logs: Write, chat_span: Chat
    ) -> None:
        processes[0].store(chat_span(None, None))
        processes[0].finish_batches()
        body = write_logs([{**USER, "timeUnixNano": str(n)} for n in range(1, 21)])
        metrics = (FOLDER / "genai-1.3b0-chat-metrics.bin").read_bytes()

        def ingest(number: int) -> tuple[int, int, int]:
            signals = processes[number % 2].signals
            logs = signals.ingest_logs("default", body, Encoding.JSON)
            points = signals.ingest_metrics("default", metrics, Encoding.PROTOBUF)
            return logs.accepted, points.accepted, logs.queued

        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(ingest, range(16)))
        assert [sum(column) for column in zip(*outcomes, strict=True)] == [20, 3, 1]
        assert process_counts(processes[0]) == (20, 3, 3)

    def test_the_limit_of_series_holds(self, processes: list[Process], write_metrics: Write, now_ns: int) -> None:
        def ingest(number: int) -> int:
            process = processes[number % 2]
            settings = IngestSettings(max_series=10)
            signals = SignalIntake(process.database, process.contents, settings, process.metrics, lambda: now_ns)
            point = {"timeUnixNano": "5", "asDouble": 1.0}
            metrics = [{"name": f"vllm:{number}.{n}", "gauge": {"dataPoints": [point]}} for n in range(3)]
            return signals.ingest_metrics("default", write_metrics(metrics), Encoding.JSON).accepted

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(ingest, range(16))) == 10
        assert processes[0].count(metric_series) == 10


def process_counts(process: Process) -> tuple[int, int, int]:
    return process.count(genai_event), process.count(metric_series), process.count(metric_point)


class TestOutcome:
    def test_it_adds_up_and_is_counted(self, process: Process, write_logs: Write) -> None:
        stranger = {"body": "GET / 200", "traceId": TRACE_ID, "spanId": SPAN_ID}
        body = write_logs([USER, USER, stranger, {**CHOICE, "spanId": ""}])
        outcome = process.signals.ingest_logs("default", body, Encoding.JSON)
        assert (outcome.accepted, outcome.duplicates) == (1, 1)
        assert outcome.rejected == {Rejection("bot", "not_genai_event"): 1, Rejection("bot", "no_span"): 1}
        counter = process.metrics.log_records
        assert [counter.labels(outcome=one)._value.get() for one in ("accepted", "duplicate", "rejected")] == [1, 1, 2]

    @pytest.mark.parametrize("encoding", list(Encoding))
    def test_an_empty_request_is_a_success(self, process: Process, encoding: Encoding) -> None:
        for ingest in (process.signals.ingest_logs, process.signals.ingest_metrics):
            outcome = ingest("default", b"", encoding)
            assert (outcome.accepted, outcome.duplicates, outcome.rejected) == (0, 0, Counter())

    def test_a_body_that_is_something_else_is_our_error(self, process: Process) -> None:
        for ingest in (process.signals.ingest_logs, process.signals.ingest_metrics):
            with pytest.raises(MalformedError):
                ingest("default", b"{", Encoding.JSON)

    def test_hostile_names_and_texts_are_stored(self, process: Process, write_logs: Write, chat_span: Chat) -> None:
        process.store(chat_span(None, None))
        record = {**USER, "body": {"content": "a\0b"}, "attributes": {"x\0": "\0", "n": float("nan")}}
        body = write_logs([record], **{"service.name": "bot\0" + "x" * 400})
        assert process.signals.ingest_logs("default", body, Encoding.JSON).accepted == 1
        assert process.read(TRACE_ID, SPAN_ID).prompt == "a\0b"
