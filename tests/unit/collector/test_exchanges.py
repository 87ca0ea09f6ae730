"""What the worker reads: exchanges with their texts, their context and why they may be incomplete."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from collector.arrivals import prepare_request
from collector.content import Contents
from collector.dialects.normalise import normalise
from collector.dialects.span import NormalSpan
from collector.exchanges import StoredExchange, read_batch_exchanges, read_exchange, read_trace_exchanges
from collector.store import StoreOutcome, store_requests
from custodes.db import Database
from custodes.db.tables import content_block, span
from custodes.kernel.ids import RowIds

Chat = Callable[..., NormalSpan]
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def store(database: Database, contents: Contents, now_ns: int) -> Callable[..., StoreOutcome]:
    """Store spans of the project ``default``."""

    def run(*spans: NormalSpan) -> StoreOutcome:
        request = prepare_request("default", spans, Counter(), now_ns, contents)
        with database.write() as tx:
            return store_requests(tx, [request], RowIds(), contents).outcomes[0]

    return run


@pytest.fixture
def read_batch(database: Database, contents: Contents) -> Callable[[StoreOutcome], Sequence[StoredExchange]]:
    """Read the exchanges of the batch of an outcome."""

    def run(outcome: StoreOutcome) -> Sequence[StoredExchange]:
        assert outcome.batch_id is not None
        with database.read() as tx:
            return read_batch_exchanges(tx, contents, outcome.batch_id)

    return run


Store = Callable[..., StoreOutcome]
Read = Callable[[StoreOutcome], Sequence[StoredExchange]]


class TestBatch:
    def test_it_gives_texts_ids_and_quantities(self, store: Store, read_batch: Read, chat_span: Chat) -> None:
        attributes = {
            "gen_ai.usage.input_tokens": 25,
            "gen_ai.usage.output_tokens": 12,
            "gen_ai.usage.cost": 0.5,
            "gen_ai.response.time_to_first_chunk": 0.25,
        }
        one = chat_span("Hello?", "Hi.", attributes=attributes)
        (found,) = read_batch(store(one))
        assert (found.project, found.trace_id, found.span_id) == ("default", one.trace_id, one.span_id)
        assert (found.prompt, found.response, found.contexts, found.incomplete) == ("Hello?", "Hi.", (), None)
        assert (found.start_ns, found.end_ns, found.complete) == (one.start_ns, one.end_ns, True)
        assert (found.ttft_ms, found.cost_usd, found.input_tokens, found.output_tokens) == (250.0, 0.5, 25, 12)
        assert (found.at_ns, found.rolled_segment_id, found.rolled_minute) == (one.end_ns, None, None)

    def test_it_comes_in_the_order_of_row_numbers_and_only_its_own(
        self, store: Store, read_batch: Read, chat_span: Chat
    ) -> None:
        store(chat_span(span_id="f" * 16))
        found = read_batch(store(chat_span(span_id="2" * 16), chat_span(span_id="1" * 16)))
        assert [one.span_id for one in found] == ["1" * 16, "2" * 16]
        assert sorted(one.span_row_id for one in found) == [one.span_row_id for one in found]

    @pytest.mark.parametrize(
        ("attributes", "groups"),
        [
            ({}, ()),
            ({"custodes.attr.group": "de"}, ("de",)),
            ({"custodes.group": "fr"}, ("fr",)),
            ({"custodes.attr.group": "de", "custodes.group": "fr"}, ("de",)),
            ({"custodes.attr.group": ["a", "b"]}, ("a", "b")),
            ({"custodes.attr.group": 3}, ("3",)),
            ({"custodes.attr.group": True}, ("true",)),
            ({"custodes.attr.group": [str(n) for n in range(40)]}, tuple(str(n) for n in range(16))),
        ],
    )
    def test_it_gives_the_groups_that_the_caller_named(
        self, store: Store, read_batch: Read, chat_span: Chat, attributes: dict[str, Any], groups: tuple[str, ...]
    ) -> None:
        (found,) = read_batch(store(chat_span(attributes=attributes)))
        assert found.caller_groups == groups

    def test_it_gives_the_finish_reasons(self, store: Store, read_batch: Read, chat_span: Chat) -> None:
        (found,) = read_batch(store(chat_span(attributes={"gen_ai.response.finish_reasons": ["length"]})))
        assert found.finish_reasons == ("length",)

    def test_missing_text_is_none(self, store: Store, read_batch: Read, chat_span: Chat) -> None:
        (found,) = read_batch(store(chat_span(None, None)))
        assert (found.prompt, found.response) == (None, None)

    def test_dropped_attributes_make_it_incomplete(self, store: Store, read_batch: Read, chat_span: Chat) -> None:
        (found,) = read_batch(store(chat_span(dropped_attributes=3)))
        assert found.incomplete == "attributes_dropped"

    @pytest.mark.parametrize(
        "name",
        ["gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "custodes.documents"],
    )
    def test_content_cut_off_makes_it_unreadable(
        self, store: Store, read_batch: Read, chat_span: Chat, name: str
    ) -> None:
        cut = chat_span(
            None if name.startswith("gen_ai.input") else "Hello?",
            None if name.startswith("gen_ai.output") else "Hi.",
            attributes={name: '[{"type": "text", "content": "Be ki'},
            dropped_attributes=3,
        )
        (found,) = read_batch(store(cut))
        assert found.incomplete == "content_unreadable"

    def test_a_copy_that_can_be_read_replaces_it(self, store: Store, read_batch: Read, chat_span: Chat) -> None:
        store(chat_span(response=None, attributes={"gen_ai.output.messages": '[{"role"'}))
        (found,) = read_batch(store(chat_span()))
        assert (found.response, found.incomplete) == ("Hi.", None)

    def test_a_missing_end_does_not(self, store: Store, read_batch: Read, chat_span: Chat) -> None:
        (found,) = read_batch(store(chat_span(complete=False)))
        assert (found.incomplete, found.complete) == (None, False)

    def test_an_erased_one_says_so_and_its_neighbours_stay(
        self, store: Store, read_batch: Read, database: Database, contents: Contents, chat_span: Chat
    ) -> None:
        ann, bob = ({"user.id": name} for name in ("ann", "bob"))
        outcome = store(
            chat_span(span_id="1" * 16, attributes=ann),
            chat_span(span_id="2" * 16, attributes=bob),
            chat_span(span_id="3" * 16, trace_id="3" * 32),
        )
        with database.write() as tx:
            assert contents.destroy_subject_keys(tx, "default", "ann") == 1
        found = read_batch(outcome)
        assert [one.incomplete for one in found] == ["erased", None, None]
        assert [one.response for one in found] == [None, "Hi.", "Hi."]

    def test_a_row_copied_to_another_span_is_not_taken_for_its_text(
        self, store: Store, read_batch: Read, database: Database, chat_span: Chat
    ) -> None:
        spans = [chat_span("left", span_id="1" * 16), chat_span("right", span_id="2" * 16, trace_id="b" * 32)]
        outcome = store(*spans)
        left, right = (one.span_row_id for one in read_batch(outcome))
        with database.write() as tx:
            row = tx.execute(
                select(content_block.c.codec, content_block.c.key_id, content_block.c.body)
                .join(span, span.c.content_id == content_block.c.id)
                .where(span.c.id == left)
            ).one()
            values = {"codec": row.codec, "key_id": row.key_id, "body": row.body}
            number = select(span.c.content_id).where(span.c.id == right).scalar_subquery()
            tx.execute(update(content_block).where(content_block.c.id == number).values(values))
        assert [(one.prompt, one.incomplete) for one in read_batch(outcome)] == [
            ("left", None),
            (None, "content_unreadable"),
        ]

    def test_a_damaged_row_spoils_itself_alone(
        self, store: Store, read_batch: Read, database: Database, chat_span: Chat
    ) -> None:
        outcome = store(chat_span(span_id="1" * 16), chat_span(span_id="2" * 16, trace_id="b" * 32))
        damaged = read_batch(outcome)[0].span_row_id
        with database.write() as tx:
            number = select(span.c.content_id).where(span.c.id == damaged).scalar_subquery()
            tx.execute(update(content_block).where(content_block.c.id == number).values(codec=99))
        first, second = read_batch(outcome)
        assert (first.prompt, first.incomplete) == (None, "content_unreadable")
        assert (second.prompt, second.incomplete) == ("Hello?", None)


class TestContexts:
    def test_its_own_documents_come_first(
        self, store: Store, read_batch: Read, chat_span: Chat, retrieval_span: Chat
    ) -> None:
        chat = chat_span(attributes={"custodes.documents": '["own"]'})
        found = retrieval_span("other", start_ns=chat.start_ns - 20, end_ns=chat.start_ns - 10)
        assert read_batch(store(chat, found))[0].contexts == ("own",)

    def test_else_those_its_trace_had_retrieved_latest_first(
        self, store: Store, read_batch: Read, chat_span: Chat, retrieval_span: Chat
    ) -> None:
        chat = chat_span()

        def retrieval(n: int, *texts: str, end: int, trace_id: str = TRACE_ID) -> NormalSpan:
            start_ns, end_ns = chat.start_ns - 100, chat.start_ns + end
            return retrieval_span(*texts, span_id=f"{n:016x}", trace_id=trace_id, start_ns=start_ns, end_ns=end_ns)

        spans = [
            retrieval(1, "early", "both", end=-50),
            retrieval(2, "late", "both", end=0),
            retrieval(3, "too late", end=1),
            retrieval(4, "elsewhere", end=-50, trace_id="1" * 32),
        ]
        assert read_batch(store(chat, *spans))[0].contexts == ("late", "both", "early")

    def test_there_are_none_when_one_of_its_retrievals_was_cut_off(
        self, store: Store, read_batch: Read, chat_span: Chat, retrieval_span: Chat
    ) -> None:
        chat = chat_span()
        before = {"start_ns": chat.start_ns - 20, "end_ns": chat.start_ns - 10}
        whole = retrieval_span("fact", span_id="1" * 16, **before)

        def cut_off(**times: int) -> NormalSpan:
            unreadable = {"id": None, "content": None, "score": None, "unreadable": '["fa'}
            return replace(retrieval_span(span_id="2" * 16, **times), retrieved_documents=[unreadable])

        later = {"start_ns": chat.start_ns, "end_ns": chat.start_ns + 10}
        assert read_batch(store(chat, whole, cut_off(**later)))[0].contexts == ("fact",)
        other: dict[str, Any] = {"trace_id": "1" * 32}
        chat, whole = replace(chat, **other), replace(whole, **other)
        found = read_batch(store(chat, whole, replace(cut_off(**before), **other)))[0]
        assert (found.contexts, found.response, found.incomplete) == ((), "Hi.", None)

    def test_there_are_none_when_one_of_its_retrievals_lost_attributes(
        self, store: Store, read_batch: Read, chat_span: Chat, retrieval_span: Chat
    ) -> None:
        chat = chat_span()
        found = retrieval_span("fact", start_ns=chat.start_ns - 20, end_ns=chat.start_ns - 10)
        assert read_batch(store(chat, replace(found, dropped_attributes=30)))[0].contexts == ()

    @pytest.mark.parametrize("kind", ["CHAIN", "AGENT"])
    def test_those_of_what_it_lies_in_follow(
        self, store: Store, read_batch: Read, chat_span: Chat, retrieval_span: Chat, raw_span: Any, kind: str
    ) -> None:
        chat = chat_span(parent_span_id="2" * 16)
        around: dict[str, int] = {"start_ns": chat.start_ns - 100, "end_ns": chat.end_ns + 100}

        def holder(n: int, parent: int | None, text: str, **times: int) -> NormalSpan:
            attributes = {"openinference.span.kind": kind, "retrieval.documents.0.document.content": text}
            parent_id = None if parent is None else f"{parent}" * 16
            ids: dict[str, Any] = {"span_id": f"{n}" * 16, "parent_span_id": parent_id}
            return normalise(raw_span(attributes=attributes, **ids, **(times or around)))

        between = normalise(raw_span(span_id="2" * 16, parent_span_id="3" * 16, **around))
        found = retrieval_span("found", start_ns=chat.start_ns - 20, end_ns=chat.start_ns - 10)
        spans = [
            holder(3, 4, "near"),
            holder(4, 3, "far"),  # As does a client whose spans go in circles.
            holder(5, 4, "beside it"),
            holder(6, 4, "done before", start_ns=chat.start_ns - 5, end_ns=chat.start_ns - 1),
        ]
        (one,) = read_batch(store(chat, between, found, *spans))
        assert one.contexts == ("done before", "found", "near", "far")
        (lone,) = read_batch(store(replace(chat, trace_id="1" * 32), replace(spans[2], trace_id="1" * 32)))
        assert lone.contexts == ()

    def test_what_it_lies_in_gives_none_when_that_was_cut_off_or_lost_attributes(
        self, store: Store, read_batch: Read, chat_span: Chat
    ) -> None:
        agent: dict[str, Any] = {"gen_ai.operation.name": "invoke_agent"}

        def contexts(trace: str, documents: str, dropped: int) -> tuple[str, ...]:
            chat = chat_span(trace_id=trace * 32, parent_span_id="2" * 16)
            parent = chat_span(
                None, None, trace_id=trace * 32, span_id="2" * 16, start_ns=chat.start_ns - 1, end_ns=chat.end_ns + 1,
                attributes={**agent, "custodes.documents": documents}, dropped_attributes=dropped,
            )  # fmt: skip
            return read_batch(store(chat, parent))[0].contexts

        assert contexts("a", '["fact"]', 0) == ("fact",)
        assert contexts("b", '["fact"]', 1) == ()
        assert contexts("c", '["fa', 0) == ()

    def test_those_of_another_call_are_not_its_own(self, store: Store, read_batch: Read, chat_span: Chat) -> None:
        chat = chat_span()
        other = chat_span(
            span_id="1" * 16, attributes={"custodes.documents": '["fact"]'}, start_ns=1, end_ns=chat.start_ns - 1
        )
        assert [one.contexts for one in read_batch(store(chat, other))] == [("fact",), ()]

    def test_those_of_another_telling_of_the_same_call_are(
        self, store: Store, read_batch: Read, chat_span: Chat
    ) -> None:
        outer = chat_span(None, "Hi.", attributes={"custodes.documents": '["fact"]'})
        inner = chat_span(span_id="1" * 16, parent_span_id=outer.span_id)
        (one,) = read_batch(store(outer, inner))
        assert (one.span_id, one.contexts) == (inner.span_id, ("fact",))

    def test_what_it_lies_in_has_it_scored_again_when_it_arrives_late(
        self, store: Store, read_batch: Read, chat_span: Chat
    ) -> None:
        chat = chat_span(parent_span_id="2" * 16)
        named = chat_span(span_id="1" * 16, parent_span_id="2" * 16, attributes={"custodes.documents": '["its own"]'})
        assert [one.contexts for one in read_batch(store(chat, named))] == [("its own",), ()]
        agent = {"gen_ai.operation.name": "invoke_agent", "custodes.documents": '["fact"]'}
        times = {"start_ns": chat.start_ns - 20, "end_ns": chat.end_ns + 1}
        later = store(chat_span(None, None, span_id="2" * 16, attributes=agent, **times))
        assert [(one.span_id, one.contexts) for one in read_batch(later)] == [(chat.span_id, ("fact",))]

    def test_they_are_at_most_64(self, store: Store, read_batch: Read, chat_span: Chat, retrieval_span: Chat) -> None:
        chat = chat_span()
        texts = [f"fact {n}" for n in range(100)]
        found = retrieval_span(*texts, start_ns=chat.start_ns - 20, end_ns=chat.start_ns - 10)
        assert read_batch(store(chat, found))[0].contexts == tuple(texts[:64])


class TestSingleReaders:
    def test_one_exchange_is_found_by_its_ids(
        self, store: Store, database: Database, contents: Contents, chat_span: Chat
    ) -> None:
        one = chat_span()
        store(one, chat_span(span_id="1" * 16))
        with database.read() as tx:
            found = read_exchange(tx, contents, "default", one.trace_id, one.span_id)
            assert found is not None
            assert found.span_id == one.span_id
            assert read_exchange(tx, contents, "other", one.trace_id, one.span_id) is None
            assert read_exchange(tx, contents, "default", one.trace_id, "2" * 16) is None
            assert [row.span_id for row in read_trace_exchanges(tx, contents, "default", one.trace_id)] == [
                "1" * 16,
                one.span_id,
            ]
