"""Which answers to one prompt are found, and which of the many calls of a trace are none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from collector.arrivals import prepare_request
from collector.content import Contents
from collector.dialects.span import NormalSpan
from collector.exchanges import StoredExchange, read_batch_exchanges
from collector.store import store_requests
from collector.store_samples import read_samples
from custodes.db import Database
from custodes.db.tables import exchange
from custodes.kernel.ids import RowIds

Chat = Callable[..., NormalSpan]
Answers = dict[str, tuple[str, ...]]


@pytest.fixture
def samples(database: Database, contents: Contents, now_ns: int) -> Callable[..., Answers]:
    """Store spans as one batch; return the samples of its exchanges by their span ids without zeros in front."""
    ids = RowIds()

    def run(*spans: NormalSpan) -> Answers:
        request = prepare_request("default", spans, Counter(), now_ns, contents)
        with database.write() as tx:
            batch = store_requests(tx, [request], ids, contents).outcomes[0].batch_id
        assert batch is not None
        with database.read() as tx:
            found = read_batch_exchanges(tx, contents, batch)
            names = {one.span_row_id: one.span_id.lstrip("0") for one in found}
            return {names[row]: answers for row, answers in read_samples(tx, contents, found).items()}

    return run


@pytest.fixture
def call(chat_span: Chat) -> Chat:
    """Make a call by a number that gives it its span id and its place in time."""

    def make(number: int, response: str | None, prompt: str | None = "When?", **fields: Any) -> NormalSpan:
        start_ns = chat_span().start_ns + number
        return chat_span(prompt, response, span_id=f"{number:016x}", start_ns=start_ns, **fields)

    return make


def choices(*texts: str, reasons: int | None = None) -> dict[str, Any]:
    """Return the attributes of a call with several choices."""
    messages = [{"role": "assistant", "parts": [{"type": "text", "content": text}]} for text in texts]
    count = len(texts) if reasons is None else reasons
    return {"gen_ai.output.messages": messages, "gen_ai.response.finish_reasons": ["stop"] * count}


class TestChoicesOfOneCall:
    def test_each_is_an_answer(self, samples: Callable[..., Answers], call: Chat) -> None:
        assert samples(call(1, None, attributes=choices("On Monday.", "On Friday."))) == {
            "1": ("On Monday.", "On Friday.")
        }

    @pytest.mark.parametrize("reasons", [0, 1, 3])
    def test_several_messages_of_one_answer_are_none(
        self, samples: Callable[..., Answers], call: Chat, reasons: int
    ) -> None:
        parts = choices("I'll look.", "On Friday.", reasons=reasons)
        assert samples(call(1, None, attributes=parts)) == {}

    def test_the_response_is_the_choices_joined_by_line_breaks(
        self, database: Database, contents: Contents, call: Chat, now_ns: int
    ) -> None:
        span = call(1, None, attributes=choices("A\nb", "C"))
        request = prepare_request("default", [span], Counter(), now_ns, contents)
        with database.write() as tx:
            batch = store_requests(tx, [request], RowIds(), contents).outcomes[0].batch_id
        assert batch is not None
        with database.read() as tx:
            (found,) = read_batch_exchanges(tx, contents, batch)
        assert found.response == "\n".join(found.answers)
        assert found.answers == ("A\nb", "C")


class TestCallsOfOneTrace:
    def test_calls_that_were_asked_the_same_are_answers_to_one_prompt(
        self, samples: Callable[..., Answers], call: Chat
    ) -> None:
        assert samples(call(3, "C"), call(1, "A"), call(2, "B")) == {"1": ("B", "C"), "2": ("A", "C"), "3": ("A", "B")}

    def test_equal_answers_count_each(self, samples: Callable[..., Answers], call: Chat) -> None:
        assert samples(call(1, "A"), call(2, "A"), call(3, "A"))["1"] == ("A", "A")

    @pytest.mark.parametrize(
        "other",
        [
            {"prompt": "Where?"},
            {"trace_id": "1" * 32},
            {"attributes": {"gen_ai.request.model": "another"}},
            {"attributes": {"gen_ai.system_instructions": [{"type": "text", "content": "Be brief."}]}},
            {"response": None},
            {"dropped_attributes": 1},
        ],
    )
    def test_calls_that_were_not_are_none(
        self, samples: Callable[..., Answers], call: Chat, other: dict[str, Any]
    ) -> None:
        fields: dict[str, Any] = {"response": "B", **other}
        assert samples(call(1, "A"), call(2, **fields)) == {}

    def test_an_agent_s_next_step_is_no_answer_to_the_same_prompt(
        self, samples: Callable[..., Answers], call: Chat
    ) -> None:
        first = call(1, "I'll look it up.")
        result = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": "Friday"}]}
        second = replace(call(2, "On Friday."), input_messages=[*first.input_messages, result])
        assert samples(first, second) == {}

    def test_answers_of_earlier_batches_are_found(self, samples: Callable[..., Answers], call: Chat) -> None:
        assert samples(call(1, "A"), call(2, "B", prompt="Where?")) == {}
        assert samples(call(3, "C")) == {"3": ("A",)}

    def test_a_call_of_another_length_is_not_read_for_it(
        self, samples: Callable[..., Answers], call: Chat, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        long, short = ({"gen_ai.usage.input_tokens": count} for count in (90, 9))
        samples(call(1, "A", attributes=long), call(2, "B", attributes=short))
        read: list[list[int]] = []

        def watch(_: object, __: object, rows: list[int]) -> list[StoredExchange]:
            read.append(rows)
            return []

        monkeypatch.setattr("collector.store_samples.read_exchange_rows", watch)
        samples(call(3, "C", attributes=short))
        assert [len(rows) for rows in read] == [1]

    def test_an_exchange_that_another_span_tells_better_is_no_answer(
        self, samples: Callable[..., Answers], call: Chat, database: Database
    ) -> None:
        samples(call(1, "A"))
        with database.write() as tx:
            tx.execute(update(exchange).values(repeated=True))
        assert samples(call(2, "B")) == {}

    def test_at_most_twenty_count_the_earliest_first(self, samples: Callable[..., Answers], call: Chat) -> None:
        found = samples(*[call(number, f"Answer {number}") for number in range(1, 40)])
        assert found["1"] == tuple(f"Answer {number}" for number in range(2, 22))
