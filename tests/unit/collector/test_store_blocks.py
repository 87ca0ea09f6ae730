"""Which block holds which span's text, and when a block goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from collector.arrivals import prepare_request
from collector.content import Contents, content_to_json
from collector.dialects.span import NormalSpan
from collector.store import store_requests
from custodes.db import Database
from custodes.db.tables import CONTENT_OF_SPAN, content_block, span
from custodes.kernel.ids import RowIds

Chat = Callable[..., NormalSpan]
Store = Callable[..., None]
Read = Callable[[], dict[bytes, Any]]


@pytest.fixture
def store(database: Database, contents: Contents, now_ns: int) -> Store:
    row_ids = RowIds()

    def run(*requests: list[NormalSpan]) -> None:
        prepared = [prepare_request("default", spans, Counter(), now_ns, contents) for spans in requests]
        with database.write() as tx:
            store_requests(tx, prepared, row_ids, contents)

    return run


@pytest.fixture
def responses(database: Database, contents: Contents) -> Read:
    """Return the stored response of every span, or what is wrong with it, by span id."""

    def read() -> dict[bytes, Any]:
        columns = (content_block.c.id, content_block.c.codec, content_block.c.key_id, content_block.c.body)
        statement = select(*columns, span.c.trace_id, span.c.span_id)
        with database.read() as tx:
            rows = [tuple(row) for row in tx.execute(statement.join(span, content_block.c.id == CONTENT_OF_SPAN))]
            unpacked = contents.unpack_spans(tx, "default", rows)
        return {
            row[5]: one.problem or one.content["output_messages"][0]["parts"][0]["content"]  # type: ignore[index]
            for row, one in zip(rows, unpacked, strict=True)
        }

    return read


def block_ids(database: Database) -> dict[bytes, int]:
    with database.read() as tx:
        return {row.span_id: row.content_id for row in tx.execute(select(span.c.span_id, span.c.content_id))}


def stored_blocks(database: Database) -> set[int]:
    with database.read() as tx:
        return set(tx.execute(select(content_block.c.id)).scalars())


def key(n: int) -> bytes:
    return n.to_bytes(8, "big")


class TestSharing:
    def test_spans_of_one_trace_and_request_share_a_block(
        self, store: Store, responses: Read, database: Database, chat_span: Chat
    ) -> None:
        store([chat_span(response="one", span_id=key(1).hex()), chat_span(response="two", span_id=key(2).hex())])
        assert len(stored_blocks(database)) == 1
        assert responses() == {key(1): "one", key(2): "two"}

    def test_people_never_share_one(self, store: Store, database: Database, chat_span: Chat) -> None:
        spans = [chat_span(span_id=key(n).hex(), attributes={"user.id": f"user-{n}"}) for n in (1, 2)]
        store(spans)
        assert len(stored_blocks(database)) == 2

    def test_spans_that_come_later_have_a_block_of_their_own(
        self, store: Store, responses: Read, database: Database, chat_span: Chat
    ) -> None:
        store([chat_span(response="one", span_id=key(1).hex())])
        store([chat_span(response="two", span_id=key(2).hex())])
        assert len(stored_blocks(database)) == 2
        assert responses() == {key(1): "one", key(2): "two"}

    def test_a_block_of_which_every_span_is_known_is_not_stored(
        self, store: Store, database: Database, chat_span: Chat
    ) -> None:
        store([chat_span()])
        before = stored_blocks(database)
        store([chat_span()], [chat_span()])
        assert stored_blocks(database) == before


class TestReplacing:
    def test_the_rest_of_the_old_block_stays_readable(
        self, store: Store, responses: Read, database: Database, chat_span: Chat
    ) -> None:
        poor = chat_span(response="early", prompt=None, complete=False, span_id=key(1).hex())
        store([poor, chat_span(response="other", span_id=key(2).hex())])
        old = block_ids(database)[key(1)]
        store([chat_span(response="whole", span_id=key(1).hex())])
        assert responses() == {key(1): "whole", key(2): "other"}
        assert block_ids(database)[key(2)] == old
        assert stored_blocks(database) == set(block_ids(database).values())

    def test_a_block_that_nobody_needs_any_more_goes(
        self, store: Store, responses: Read, database: Database, chat_span: Chat
    ) -> None:
        poor = [chat_span(response="early", prompt=None, span_id=key(n).hex()) for n in (1, 2)]
        store(poor)
        store([chat_span(response="whole", span_id=key(n).hex()) for n in (1, 2)])
        assert responses() == {key(1): "whole", key(2): "whole"}
        assert stored_blocks(database) == set(block_ids(database).values())

    def test_the_richer_of_two_copies_in_one_request_is_kept(
        self, store: Store, responses: Read, chat_span: Chat
    ) -> None:
        store([chat_span(response="poor", prompt=None), chat_span(response="rich")])
        assert list(responses().values()) == ["rich"]


class TestRowsOfEarlierReleases:
    def test_they_are_read_and_replaced(
        self, store: Store, responses: Read, database: Database, contents: Contents, chat_span: Chat
    ) -> None:
        early = chat_span(response="early", prompt=None)
        store([early])
        # As the release before wrote it: one content a row, under the number of its span, bound to both ids.
        aad = bytes.fromhex(early.trace_id) + bytes.fromhex(early.span_id)
        packed = contents.pack("default", [(None, aad, content_to_json(early))])
        with database.write() as tx:
            contents.keep_keys(tx, packed)
            (number,) = tx.execute(select(span.c.id)).scalars()
            codec, key_id, body = packed.rows[0]
            tx.execute(update(span).values(content_id=None))
            tx.execute(update(content_block).values(id=number, codec=codec, key_id=key_id, body=body))
        assert list(responses().values()) == ["early"]
        store([chat_span(response="whole")])
        assert list(responses().values()) == ["whole"]
        assert stored_blocks(database) == set(block_ids(database).values())


class TestBinding:
    def test_a_block_in_the_place_of_another_trace_is_damaged(
        self, store: Store, responses: Read, database: Database, chat_span: Chat
    ) -> None:
        store([chat_span(span_id=key(1).hex()), chat_span(span_id=key(2).hex(), trace_id="b" * 32)])
        first, second = block_ids(database)[key(1)], block_ids(database)[key(2)]
        with database.write() as tx:
            tx.execute(update(span).where(span.c.span_id == key(2)).values(content_id=first))
        assert second != first
        assert responses()[key(2)] == "damaged"

    def test_a_block_of_the_same_trace_that_does_not_name_the_span_is_damaged(
        self, store: Store, responses: Read, database: Database, chat_span: Chat
    ) -> None:
        store([chat_span(span_id=key(1).hex())])
        store([chat_span(span_id=key(2).hex())])
        with database.write() as tx:
            number = block_ids(database)[key(1)]
            tx.execute(update(span).where(span.c.span_id == key(2)).values(content_id=number))
        assert responses()[key(2)] == "damaged"
