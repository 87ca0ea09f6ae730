"""What is stored, once, and what the ledger says of it; on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select

from collector.arrivals import IncomingRequest, prepare_request
from collector.content import Contents
from collector.dialects.normalise import normalise
from collector.dialects.span import NormalSpan
from collector.exchanges import read_batch_exchanges
from collector.otlp.spans import Rejection
from collector.store import StoreOutcome, store_requests
from custodes.db import Database
from custodes.db.tables import content_block, exchange, ingest_batch, ledger_minute, segment, span, trace
from custodes.kernel.errors import ConflictError
from custodes.kernel.ids import RowIds

Chat = Callable[..., NormalSpan]
Store = Callable[..., StoreOutcome]


@pytest.fixture
def store(database: Database, contents: Contents, now_ns: int) -> Store:
    """Store spans of the project ``default`` in one transaction."""
    row_ids = RowIds()

    def run(*spans: NormalSpan, rejected: Counter[Rejection] | None = None, at_ns: int = now_ns) -> StoreOutcome:
        request = prepare_request("default", spans, rejected or Counter(), at_ns, contents)
        with database.write() as tx:
            return store_requests(tx, [request], row_ids, contents).outcomes[0]

    return run


def rows_of(database: Database, table: Any) -> list[Any]:
    with database.read() as tx:
        return list(tx.execute(select(table)))


def ledger_of(database: Database) -> dict[tuple[str, str, str], int]:
    with database.read() as tx:
        rows = tx.execute(select(ledger_minute)).all()
    counts: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        counts[row.service, row.kind, row.reason] += row.n
    return dict(counts)


def assert_balanced(database: Database) -> None:
    kinds: Counter[str] = Counter()
    for (_, kind, _), n in ledger_of(database).items():
        kinds[kind] += n
    assert kinds["received"] == kinds["stored"] + kinds["duplicates"] + kinds["rejected"]
    with database.read() as tx:
        assert kinds["stored"] == tx.execute(select(func.count()).select_from(span)).scalar_one()
        assert kinds["exchanges"] == tx.execute(select(func.count()).select_from(exchange)).scalar_one()


def span_id(n: int) -> str:
    return f"{n:016x}"


class TestFirstCopy:
    def test_it_is_stored_with_its_content_its_exchange_and_a_ready_batch(
        self, store: Store, database: Database, chat_span: Chat, now_ns: int
    ) -> None:
        one = chat_span("Hello?", "Hi.", parent_span_id="00f067aa0ba902b7", status=2)
        outcome = store(one)
        assert (outcome.stored, outcome.duplicates, outcome.exchanges) == (1, 0, 1)
        (row,) = rows_of(database, span)
        assert (row.trace_id.hex(), row.span_id.hex(), row.parent_span_id.hex()) == (
            one.trace_id,
            one.span_id,
            "00f067aa0ba902b7",
        )
        assert (row.operation, row.service, row.model, row.provider, row.status) == ("chat", "bot", "gpt", "openai", 2)
        assert row.complete is True
        (content,) = rows_of(database, content_block)
        assert content.id == row.content_id
        (found,) = rows_of(database, exchange)
        assert (found.span_id, found.batch_id, found.at_ns) == (row.id, outcome.batch_id, one.end_ns)
        (batch,) = rows_of(database, ingest_batch)
        assert (batch.id, batch.state, batch.spans, batch.exchanges, batch.received_ns) == (
            outcome.batch_id,
            "ready",
            1,
            1,
            now_ns,
        )
        (place,) = rows_of(database, segment)
        assert (place.id, place.service, place.model) == (found.segment_id, "bot", "gpt")

    def test_an_exchange_never_happens_after_it_arrived(
        self, store: Store, database: Database, chat_span: Chat, now_ns: int
    ) -> None:
        store(chat_span(start_ns=now_ns - 5, end_ns=now_ns + 1_000_000))
        assert rows_of(database, exchange)[0].at_ns == now_ns

    def test_spans_without_exchanges_make_a_batch_that_is_done(
        self, store: Store, database: Database, retrieval_span: Chat
    ) -> None:
        outcome = store(retrieval_span("fact"))
        (batch,) = rows_of(database, ingest_batch)
        assert (batch.id, batch.state, batch.exchanges) == (outcome.batch_id, "done", 0)
        assert batch.done_ns is not None

    def test_nothing_makes_no_batch(self, store: Store, database: Database) -> None:
        assert store() == StoreOutcome(None, 0, 0)
        assert rows_of(database, ingest_batch) == []
        assert ledger_of(database) == {}

    def test_text_that_a_column_cannot_take_is_fitted(self, store: Store, database: Database, chat_span: Chat) -> None:
        resource = {
            "service.name": "a\x00b" + "é" * 400,
            "deployment.environment.name": "\x00" * 400,
            "custodes.deployment": "d" * 400,
            "session.id": "s\x00" * 400,
            "user.id": "u" * 400,
        }
        attributes = {
            "gen_ai.provider.name": "p" * 400,
            "gen_ai.request.model": "m\x00" * 400,
            "gen_ai.response.finish_reasons": ["\x00" * 400],
        }
        store(chat_span("nul \x00 stays", "é", name="n\x00" * 400, resource=resource, attributes=attributes))
        (row,) = rows_of(database, span)
        assert row.service == "a\ufffdb" + "é" * 253
        assert (len(row.name), len(row.model), len(row.session_id), len(row.environment)) == (256, 256, 256, 128)
        assert (len(row.provider), len(row.deployment), len(row.user_id)) == (128, 256, 256)

    def test_a_project_that_does_not_exist_is_a_conflict_and_nothing_is_kept(
        self, database: Database, contents: Contents, chat_span: Chat, now_ns: int
    ) -> None:
        request = prepare_request("nowhere", [chat_span()], Counter(), now_ns, contents)
        with pytest.raises(ConflictError), database.write() as tx:
            store_requests(tx, [request], RowIds(), contents)
        assert rows_of(database, span) == []


class TestDuplicates:
    def test_a_span_sent_twice_is_stored_once(self, store: Store, database: Database, chat_span: Chat) -> None:
        first, second = store(chat_span()), store(chat_span())
        assert (first.stored, second.stored, second.duplicates, second.batch_id) == (1, 0, 1, None)
        assert (
            len(rows_of(database, span))
            == len(rows_of(database, exchange))
            == len(rows_of(database, ingest_batch))
            == 1
        )
        assert_balanced(database)

    def test_copies_in_one_request_count_as_duplicates(self, store: Store, database: Database, chat_span: Chat) -> None:
        outcome = store(chat_span(response=None), chat_span(), chat_span(prompt=None))
        assert (outcome.stored, outcome.duplicates, outcome.exchanges) == (1, 2, 1)
        (row,) = rows_of(database, span)
        assert row.completeness == chat_span().completeness
        assert_balanced(database)

    def test_the_same_ids_in_another_project_are_another_span(
        self, database: Database, contents: Contents, chat_span: Chat, now_ns: int
    ) -> None:
        requests = [prepare_request(name, [chat_span()], Counter(), now_ns, contents) for name in ("default", "other")]
        with database.write() as tx:
            tx.execute(tx.insert(trace.metadata.tables["project"]).values(id="other", created_ns=0))
            outcomes = store_requests(tx, requests, RowIds(), contents).outcomes
        assert [(one.stored, one.duplicates) for one in outcomes] == [(1, 0), (1, 0)]
        assert len({one.batch_id for one in outcomes}) == 2
        assert {row.project_id for row in rows_of(database, trace)} == {"default", "other"}

    def test_requests_of_one_call_each_get_their_own_batch_and_count(
        self, database: Database, contents: Contents, chat_span: Chat, now_ns: int
    ) -> None:
        a, b = chat_span(span_id=span_id(1)), chat_span(span_id=span_id(2))
        requests = [prepare_request("default", spans, Counter(), now_ns, contents) for spans in ([a], [a, b], [b], [])]
        with database.write() as tx:
            outcomes = store_requests(tx, requests, RowIds(), contents).outcomes
        assert [(one.stored, one.duplicates) for one in outcomes] == [(1, 0), (1, 1), (0, 1), (0, 0)]
        batches = {row.span_id: row.batch_id for row in rows_of(database, exchange)}
        assert sorted(batches.values()) == [outcomes[0].batch_id, outcomes[1].batch_id]
        assert_balanced(database)


class TestMoreCompleteCopy:
    def test_it_replaces_the_span_and_has_the_exchange_scored_again(
        self, store: Store, database: Database, contents: Contents, chat_span: Chat
    ) -> None:
        poor = chat_span(response=None, complete=False, attributes={"gen_ai.request.model": "gpt-early"})
        first = store(poor)
        second = store(chat_span())
        assert (second.stored, second.duplicates, second.exchanges) == (0, 1, 0)
        (row,) = rows_of(database, span)
        assert (row.complete, row.model, row.completeness) == (True, "gpt", chat_span().completeness)
        (found,) = rows_of(database, exchange)
        assert found.batch_id == second.batch_id != first.batch_id
        assert found.segment_id == next(one.id for one in rows_of(database, segment) if one.model == "gpt")
        state = {batch.id: (batch.state, batch.spans, batch.exchanges) for batch in rows_of(database, ingest_batch)}
        assert state[second.batch_id] == ("ready", 0, 1)
        (content,) = rows_of(database, content_block)
        assert content.id == row.content_id
        stored = (content.id, content.codec, content.key_id, content.body, row.trace_id, row.span_id)
        with database.read() as tx:
            (kept,) = contents.unpack_spans(tx, "default", [stored])
        assert kept.content is not None
        assert kept.content["output_messages"][0]["parts"] == [{"type": "text", "content": "Hi."}]
        assert_balanced(database)

    def test_a_poorer_copy_changes_nothing(self, store: Store, database: Database, chat_span: Chat) -> None:
        store(chat_span())
        before = rows_of(database, span) + rows_of(database, content_block) + rows_of(database, exchange)
        assert store(chat_span(response=None)).batch_id is None
        assert rows_of(database, span) + rows_of(database, content_block) + rows_of(database, exchange) == before

    def test_a_span_that_turns_out_to_be_an_exchange_becomes_one(
        self, store: Store, database: Database, chat_span: Chat
    ) -> None:
        store(chat_span(prompt=None, response=None, attributes={"gen_ai.operation.name": "agent_step"}))
        assert rows_of(database, exchange) == []
        assert store(chat_span()).exchanges == 1
        assert len(rows_of(database, exchange)) == 1
        assert rows_of(database, trace)[0].exchanges == 1
        assert_balanced(database)


class TestKeys:
    def test_text_that_waited_while_its_key_was_destroyed_is_kept_under_another(
        self, database: Database, contents: Contents, chat_span: Chat, now_ns: int
    ) -> None:
        def prepare(n: int) -> IncomingRequest:
            one = chat_span(span_id=span_id(n), attributes={"user.id": "ann"})
            return prepare_request("default", [one], Counter(), now_ns, contents)

        with database.write() as tx:
            store_requests(tx, [prepare(1)], RowIds(), contents)
        waiting = prepare(2)
        with database.write() as tx:
            assert contents.destroy_subject_keys(tx, "default", "ann") == 1
        with database.write() as tx:
            outcome = store_requests(tx, [waiting], RowIds(), contents).outcomes[0]
        assert outcome.batch_id is not None
        with database.read() as reading:
            (one,) = read_batch_exchanges(reading, contents, outcome.batch_id)
        assert (one.incomplete, one.prompt) == (None, "Hello?")

    def test_what_a_span_without_a_user_captured_goes_with_the_user_of_its_trace(
        self, database: Database, contents: Contents, chat_span: Chat, raw_span: Callable[..., Any], now_ns: int
    ) -> None:
        root = normalise(raw_span(span_id="1" * 16, attributes={"user.id": "ann"}))
        child = chat_span(parent_span_id="1" * 16)
        request = prepare_request("default", [child, root], Counter(), now_ns, contents)
        with database.write() as tx:
            outcome = store_requests(tx, [request], RowIds(), contents).outcomes[0]
            assert contents.destroy_subject_keys(tx, "default", "ann") == 1
        assert outcome.batch_id is not None
        with database.read() as reading:
            (one,) = read_batch_exchanges(reading, contents, outcome.batch_id)
        assert (one.incomplete, one.prompt) == ("erased", None)


class TestTrace:
    def test_it_spans_all_and_is_named_by_its_root_whenever_that_comes(
        self, store: Store, database: Database, chat_span: Chat, now_ns: int
    ) -> None:
        child = chat_span(
            span_id=span_id(1),
            parent_span_id=span_id(9),
            name="child",
            start_ns=now_ns - 100,
            end_ns=now_ns - 50,
            resource={"service.name": "gateway"},
        )
        store(child)
        (row,) = rows_of(database, trace)
        assert (row.name, row.service, row.spans, row.exchanges) == ("child", "gateway", 1, 1)
        root = chat_span(
            prompt=None,
            response=None,
            span_id=span_id(9),
            name="root",
            start_ns=now_ns - 200,
            end_ns=now_ns - 10,
            resource={"service.name": "shop", "deployment.environment.name": "prod", "session.id": "s-1"},
            attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "other"},
        )
        store(root)
        (row,) = rows_of(database, trace)
        assert (row.name, row.service, row.environment) == ("root", "shop", "prod")
        assert (row.start_ns, row.end_ns, row.spans, row.exchanges) == (now_ns - 200, now_ns - 10, 2, 1)
        assert (row.model, row.deployment, row.session_id) == ("gpt", "gpt", "s-1")
        store(chat_span(span_id=span_id(2), parent_span_id=span_id(9), name="later", resource={"session.id": "s-2"}))
        (row,) = rows_of(database, trace)
        assert (row.name, row.service, row.session_id, row.spans) == ("root", "shop", "s-1", 3)

    def test_a_deployment_told_by_an_exchange_wins(self, store: Store, database: Database, chat_span: Chat) -> None:
        agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "planner"}
        store(chat_span(prompt=None, response=None, span_id=span_id(1), attributes=agent))
        assert (rows_of(database, trace)[0].deployment, rows_of(database, trace)[0].model) == ("planner", "")
        store(chat_span(span_id=span_id(2), parent_span_id=span_id(1)))
        assert (rows_of(database, trace)[0].deployment, rows_of(database, trace)[0].model) == ("gpt", "gpt")


class TestLateContext:
    def test_documents_that_arrive_late_have_the_exchange_scored_again(
        self, store: Store, database: Database, chat_span: Chat, retrieval_span: Chat
    ) -> None:
        chat = chat_span()
        first = store(chat)
        before = retrieval_span("fact", start_ns=chat.start_ns - 20, end_ns=chat.start_ns - 10)
        second = store(before)
        assert rows_of(database, exchange)[0].batch_id == second.batch_id != first.batch_id
        states = {batch.id: (batch.state, batch.exchanges) for batch in rows_of(database, ingest_batch)}
        assert states[second.batch_id] == ("ready", 1)
        assert (second.stored, second.exchanges) == (1, 0)
        assert_balanced(database)

    def test_documents_found_after_the_exchange_began_do_not(
        self, store: Store, database: Database, chat_span: Chat, retrieval_span: Chat
    ) -> None:
        chat = chat_span()
        first = store(chat)
        store(retrieval_span("fact", start_ns=chat.start_ns - 20, end_ns=chat.start_ns + 1))
        store(retrieval_span(span_id=span_id(3), start_ns=chat.start_ns - 20, end_ns=chat.start_ns - 10))
        store(retrieval_span("fact", trace_id="1" * 32, start_ns=chat.start_ns - 20, end_ns=chat.start_ns - 10))
        assert rows_of(database, exchange)[0].batch_id == first.batch_id

    def test_a_copy_of_known_documents_does_not(
        self, store: Store, database: Database, chat_span: Chat, retrieval_span: Chat
    ) -> None:
        chat = chat_span()
        found = retrieval_span("fact", start_ns=chat.start_ns - 20, end_ns=chat.start_ns - 10)
        store(found)
        second = store(chat)
        store(found)
        assert rows_of(database, exchange)[0].batch_id == second.batch_id


class TestLedger:
    def test_it_counts_by_service_and_reason_and_adds_up(
        self, store: Store, database: Database, chat_span: Chat, now_ns: int
    ) -> None:
        rejected = Counter({Rejection("bot", "too_deep"): 2, Rejection("", "zero_trace_id"): 1})
        other = chat_span(span_id=span_id(2), resource={"service.name": "shop"})
        store(chat_span(), other, rejected=rejected)
        store(chat_span(), at_ns=now_ns + 60_000_000_000)
        assert ledger_of(database) == {
            ("bot", "received", ""): 4,
            ("bot", "stored", ""): 1,
            ("bot", "duplicates", ""): 1,
            ("bot", "rejected", "too_deep"): 2,
            ("bot", "exchanges", ""): 1,
            ("shop", "received", ""): 1,
            ("shop", "stored", ""): 1,
            ("shop", "exchanges", ""): 1,
            ("", "received", ""): 1,
            ("", "rejected", "zero_trace_id"): 1,
        }
        assert len({row.minute for row in rows_of(database, ledger_minute)}) == 2
        assert_balanced(database)

    def test_a_request_of_refused_spans_only_is_counted(self, store: Store, database: Database) -> None:
        outcome = store(rejected=Counter({Rejection("bot", "too_deep"): 3}))
        assert (outcome.batch_id, outcome.rejected.total()) == (None, 3)
        assert ledger_of(database) == {("bot", "received", ""): 3, ("bot", "rejected", "too_deep"): 3}


class TestCallsToldTwice:
    """A call that a client and a server below it both tell is one exchange, in whatever order they arrive."""

    INNER = "2222222222222222"

    def inner(self, chat_span: Chat, **fields: Any) -> NormalSpan:
        return chat_span(
            span_id=self.INNER,
            parent_span_id=chat_span().span_id,
            attributes={"gen_ai.usage.input_tokens": 7},
            **fields,
        )

    @pytest.mark.parametrize("split", [False, True], ids=["one request", "two requests"])
    @pytest.mark.parametrize("reverse", [False, True], ids=["outer first", "inner first"])
    @pytest.mark.parametrize("silent", [False, True], ids=["both tell the text", "only the outer tells the text"])
    def test_one_of_them_counts(
        self, store: Store, database: Database, chat_span: Chat, split: bool, reverse: bool, silent: bool
    ) -> None:
        texts: dict[str, Any] = {"prompt": None, "response": None} if silent else {}
        outer = chat_span(attributes={"gen_ai.usage.input_tokens": 7})
        spans = [outer, self.inner(chat_span, **texts)]
        if reverse:
            spans.reverse()
        outcomes = [store(one) for one in spans] if split else [store(*spans)]
        assert sum(one.stored for one in outcomes) == 2
        winner = outer.span_id if silent else self.INNER
        live = [one.span_id for one in rows_of(database, exchange) if not one.repeated]
        rows = {row.span_id.hex(): row for row in rows_of(database, span)}
        assert live == [rows[winner].id]
        assert {key: row.input_tokens for key, row in rows.items()} == {
            outer.span_id: 7 if silent else None,
            self.INNER: None if silent else 7,
        }
        assert rows_of(database, trace)[0].exchanges == 1

    @pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
    def test_the_span_that_links_them_may_come_at_any_time(
        self, store: Store, database: Database, chat_span: Chat, raw_span: Callable[..., Any], order: tuple[int, ...]
    ) -> None:
        outer = chat_span(attributes={"gen_ai.usage.input_tokens": 7})
        link = normalise(raw_span(span_id="3" * 16, parent_span_id=outer.span_id, name="POST"))
        inner = replace(self.inner(chat_span), parent_span_id="3" * 16)
        for place in order:
            store([outer, link, inner][place])
        rows = {row.span_id.hex(): row for row in rows_of(database, span)}
        live = [one.span_id for one in rows_of(database, exchange) if not one.repeated]
        assert live == [rows[self.INNER].id]
        assert sum(row.input_tokens or 0 for row in rows.values()) == 7
        assert rows_of(database, trace)[0].exchanges == 1

    def test_a_call_that_a_tool_makes_inside_another_counts_as_well(
        self, store: Store, database: Database, chat_span: Chat, raw_span: Callable[..., Any]
    ) -> None:
        attributes = {"gen_ai.operation.name": "execute_tool"}
        tool = normalise(raw_span(span_id="3" * 16, parent_span_id=chat_span().span_id, attributes=attributes))
        for one in (replace(self.inner(chat_span), parent_span_id="3" * 16), tool, chat_span()):
            store(one)
        assert [one.repeated for one in rows_of(database, exchange)] == [False, False]

    def test_what_is_taken_back_goes_to_the_batch_of_the_request_that_told_it_better(
        self, store: Store, database: Database, chat_span: Chat
    ) -> None:
        first = store(chat_span())
        second = store(self.inner(chat_span))
        batches = {row.repeated: row.batch_id for row in rows_of(database, exchange)}
        assert batches == {True: second.batch_id, False: second.batch_id}
        assert first.batch_id != second.batch_id
        assert next(row.exchanges for row in rows_of(database, ingest_batch) if row.id == second.batch_id) == 2

    def test_a_copy_of_the_outer_one_stays_uncounted(self, store: Store, database: Database, chat_span: Chat) -> None:
        store(chat_span(response=None), self.inner(chat_span))
        store(chat_span())
        rows = {row.span_id.hex(): row.id for row in rows_of(database, span)}
        assert [one.span_id for one in rows_of(database, exchange) if not one.repeated] == [rows[self.INNER]]
        assert rows_of(database, trace)[0].exchanges == 1


class TestConcurrentWriters:
    def test_two_that_send_the_same_spans_store_each_once(
        self, database: Database, contents: Contents, chat_span: Chat, retrieval_span: Chat, now_ns: int
    ) -> None:
        rounds, size = 12, 30
        barrier = threading.Barrier(2)
        outcomes: list[StoreOutcome] = []
        failures: list[BaseException] = []

        def write(reverse: bool) -> None:
            row_ids = RowIds()
            try:
                for turn in range(rounds):
                    spans = [
                        chat_span(
                            trace_id=f"{turn * 100 + n % 7 + 1:032x}",
                            span_id=span_id(turn * 1000 + n + 1),
                            response="Hi." if reverse == (n % 2 == 0) else None,
                            resource={"service.name": f"s{n % 3}"},
                        )
                        for n in range(size)
                    ]
                    request = prepare_request("default", spans[::-1] if reverse else spans, Counter(), now_ns, contents)
                    barrier.wait(30)
                    with database.write() as tx:
                        outcomes.extend(store_requests(tx, [request], row_ids, contents).outcomes)
            except BaseException as error:
                failures.append(error)
                barrier.abort()

        threads = [threading.Thread(target=write, args=(reverse,)) for reverse in (False, True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failures == []
        assert sum(one.stored for one in outcomes) == rounds * size
        assert sum(one.duplicates for one in outcomes) == rounds * size
        rows = rows_of(database, span)
        assert len(rows) == rounds * size
        assert {row.completeness for row in rows} == {chat_span().completeness}
        assert sum(row.spans for row in rows_of(database, trace)) == rounds * size
        assert_balanced(database)
