"""A call that several spans tell, one inside the other, counts once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.repeats import Member, find_repeats

NONE, PROMPT, BOTH = 0, 1, 3


def exchange(name: str, parent: str | None = None, text: int = BOTH) -> Member:
    return Member(name.encode(), None if parent is None else parent.encode(), True, text)


def plain(name: str, parent: str | None = None) -> Member:
    return Member(name.encode(), None if parent is None else parent.encode(), False, 0)


def repeats(*members: Member) -> set[str]:
    return {key.decode() for key in find_repeats(members)}


class TestOneInsideTheOther:
    def test_the_inner_one_counts(self) -> None:
        assert repeats(exchange("outer"), exchange("inner", "outer")) == {"outer"}

    def test_the_outer_one_counts_where_only_it_carries_text(self) -> None:
        assert repeats(exchange("client"), exchange("server", "client", NONE)) == {"server"}
        assert repeats(exchange("client"), exchange("server", "client", PROMPT)) == {"server"}

    def test_without_any_text_the_inner_one_counts(self) -> None:
        assert repeats(exchange("client", text=NONE), exchange("server", "client", NONE)) == {"client"}

    def test_spans_that_are_no_exchange_may_lie_between(self) -> None:
        family = [exchange("app"), plain("http", "app"), plain("route", "http"), exchange("gateway", "route")]
        assert repeats(*family) == {"app"}

    def test_of_three_layers_one_counts(self) -> None:
        layers = [exchange("a"), exchange("b", "a"), exchange("c", "b")]
        assert repeats(*layers) == {"a", "b"}
        assert repeats(exchange("a"), exchange("b", "a", NONE), exchange("c", "b", NONE)) == {"b", "c"}
        assert repeats(exchange("a", text=NONE), exchange("b", "a"), exchange("c", "b", NONE)) == {"a", "c"}

    def test_every_call_below_counts(self) -> None:
        assert repeats(exchange("all"), exchange("one", "all"), exchange("two", "all")) == {"all"}


class TestWorkOfItsOwn:
    def test_a_call_that_a_tool_makes_is_another_call(self) -> None:
        tool = Member(b"tool", b"outer", False, 0, divides=True)
        assert repeats(exchange("outer"), tool, exchange("inner", "tool")) == set()
        assert repeats(exchange("outer"), tool, exchange("inner", "tool"), exchange("server", "inner")) == {"inner"}


class TestSideBySide:
    def test_calls_of_one_agent_all_count(self) -> None:
        assert repeats(plain("agent"), exchange("one", "agent"), exchange("two", "agent")) == set()

    def test_a_missing_parent_joins_nothing(self) -> None:
        assert repeats(exchange("one", "gone"), exchange("two", "gone")) == set()

    def test_a_loop_of_parents_joins_nothing(self) -> None:
        assert repeats(exchange("a", "b"), exchange("b", "a")) == set()
        assert repeats(exchange("a", "a"), exchange("b")) == set()


@st.composite
def forests(draw: st.DrawFn) -> list[Member]:
    size = draw(st.integers(0, 12))
    parents = [draw(st.none() | st.integers(0, size)) for _ in range(size)]
    return [
        Member(bytes([n]), None if parent is None else bytes([parent]), draw(st.booleans()), draw(st.integers(0, 3)))
        for n, parent in enumerate(parents)
    ]


class TestAnyForest:
    @given(forests(), st.randoms())
    def test_the_order_of_spans_does_not_matter(self, members: list[Member], random: object) -> None:
        shuffled = sorted(members, key=lambda one: hash((one.span_id, id(random))))
        assert find_repeats(members) == find_repeats(shuffled)

    @given(forests())
    def test_only_exchanges_repeat_and_the_richest_text_of_a_family_is_kept(self, members: list[Member]) -> None:
        found = find_repeats(members)
        exchanges = {one.span_id: one for one in members if one.is_exchange}
        assert found <= exchanges.keys()
        if exchanges:
            assert exchanges.keys() - found
            best = max(one.text_rank for one in exchanges.values())
            assert max(exchanges[key].text_rank for key in exchanges.keys() - found) == best

    @given(forests())
    def test_what_is_left_holds_no_repeat(self, members: list[Member]) -> None:
        found = find_repeats(members)
        left = [
            Member(one.span_id, one.parent_span_id, one.is_exchange and one.span_id not in found, one.text_rank)
            for one in members
        ]
        assert find_repeats(left) == set()
