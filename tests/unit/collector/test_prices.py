"""What a call costs, and what must stay unknown."""

from __future__ import annotations

import math
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.price_files import load_default_prices
from collector.price_rows import Price
from collector.prices import REFRESH_NS, PriceBook, PriceBooks
from collector.store_prices import put_prices, remove_prices
from custodes.db import Database
from custodes.kernel.errors import DatabaseError

NOW_NS = 1_795_300_000_000_000_000
MILLION = 1_000_000


def book(*own: Price, defaults: tuple[Price, ...] = (), now_ns: int = NOW_NS) -> PriceBook:
    return PriceBook(own, defaults, now_ns)


def input_price(found: PriceBook, model: str, provider: str = "openai") -> float | None:
    """What a million input tokens cost."""
    return found.cost_usd(provider, model, MILLION, 0)


class TestCost:
    def test_it_adds_input_and_output_at_their_prices(self) -> None:
        assert book(Price("m", 2.5, 10.0)).cost_usd("openai", "m", 1000, 100) == pytest.approx(0.0025 + 0.001)

    def test_input_from_the_cache_has_its_own_price_or_that_of_input(self) -> None:
        own = book(Price("m", 10.0, 0.0, cached_input_usd_per_mtok=1.0), Price("n", 10.0, 0.0))
        assert own.cost_usd("", "m", MILLION, 0, 400_000) == pytest.approx(6.4)
        assert own.cost_usd("", "n", MILLION, 0, 400_000) == pytest.approx(10.0)
        assert own.cost_usd("", "m", MILLION, 0, 5 * MILLION) == pytest.approx(1.0)

    def test_an_unknown_model_costs_none_and_a_free_one_nothing(self) -> None:
        own = book(Price("local-*", 0.0, 0.0))
        assert own.cost_usd("", "m", 10, 10) is None
        assert own.cost_usd("", "", 10, 10) is None
        assert own.cost_usd("", "local-7b", 10, 10) == 0.0

    def test_a_missing_count_that_has_a_price_leaves_the_cost_unknown(self) -> None:
        own = book(Price("chat", 1.0, 2.0), Price("embed", 1.0, 0.0), Price("free", 0.0, 0.0))
        assert own.cost_usd("", "chat", 10, None) is None
        assert own.cost_usd("", "chat", None, 10) is None
        assert own.cost_usd("", "embed", 10, None) == pytest.approx(1e-5)
        assert own.cost_usd("", "embed", None, 10) is None
        assert own.cost_usd("", "free", None, None) is None

    @given(
        st.one_of(st.none(), st.integers(-(2**63), 2**63)),
        st.one_of(st.none(), st.integers(-(2**63), 2**63)),
        st.integers(-(2**63), 2**63),
    )
    def test_it_is_none_or_a_finite_number_that_is_not_negative(
        self, read: int | None, written: int | None, cached: int
    ) -> None:
        cost = book(Price("m", 3.0, 7.0, cached_input_usd_per_mtok=0.5)).cost_usd("p", "m", read, written, cached)
        assert cost is None or (math.isfinite(cost) and cost >= 0)
        assert (cost is None) == (read is None or written is None or read < 0 or written < 0)


class TestWhichPrice:
    def test_an_exact_name_beats_a_pattern_and_the_longest_pattern_wins(self) -> None:
        own = book(Price("gpt-*", 1, 0), Price("gpt-4o*", 2, 0), Price("gpt-4o-mini*", 3, 0), Price("gpt-4o", 4, 0))
        assert [input_price(own, name) for name in ("gpt-3", "gpt-4o-2024", "gpt-4o-mini-1", "gpt-4o", "o1")] == [
            1.0,
            2.0,
            3.0,
            4.0,
            None,
        ]

    def test_an_own_price_beats_the_list_price_however_short_its_pattern(self) -> None:
        assert input_price(book(Price("*", 7, 0), defaults=(Price("gpt-4o", 1, 0),)), "gpt-4o") == 7.0

    def test_a_price_for_the_provider_beats_one_for_all_of_the_same_length(self) -> None:
        own = book(Price("m", 1, 0), Price("m", 2, 0, provider="Azure"), Price("m-*", 3, 0, provider="azure"))
        assert input_price(own, "m", "azure") == 2.0
        assert input_price(own, "m", "openai") == 1.0
        assert input_price(own, "m-1", "openai") is None

    def test_names_are_compared_in_lower_case_and_without_the_route(self) -> None:
        own = book(Price("GPT-4o", 1, 0), Price("azure/gpt-4o", 2, 0))
        assert input_price(own, " Gpt-4O ") == 1.0
        assert input_price(own, "openrouter/openai/gpt-4o") == 1.0
        assert input_price(own, "azure/gpt-4o") == 2.0
        assert input_price(own, "gpt-4o/") is None

    def test_the_latest_price_that_is_valid_counts(self) -> None:
        rows = [Price("m", n, 0, valid_from_ns=at) for n, at in ((1, 0), (2, NOW_NS), (3, NOW_NS + 1))]
        assert input_price(book(*rows), "m") == 2.0
        assert input_price(book(*reversed(rows), now_ns=NOW_NS + 1), "m") == 3.0

    @given(st.text(max_size=40), st.text(max_size=40))
    def test_any_name_a_client_invents_gives_a_number_or_none(self, provider: str, model: str) -> None:
        cost = book(defaults=load_default_prices()).cost_usd(provider, model, 1, 1)
        assert cost is None or cost >= 0

    def test_what_clients_invent_is_remembered_within_a_bound(self) -> None:
        own = book(Price("m", 1, 0))
        for number in range(10_050):
            own.cost_usd("p", f"model-{number}", 1, 1)
        assert len(own._rates) <= 10_000
        assert input_price(own, "m") == 1.0


class TestListPrices:
    @pytest.mark.parametrize(
        ("model", "expected"),
        [
            ("gpt-4o", (2.5, 10.0)),
            ("gpt-4o-2024-05-13", (5.0, 15.0)),
            ("gpt-4o-2024-11-20", (2.5, 10.0)),
            ("gpt-4o-mini-2024-07-18", (0.15, 0.6)),
            ("claude-sonnet-4-5-20250929", (3.0, 15.0)),
            ("models/gemini-2.5-flash", (0.3, 2.5)),
            ("text-embedding-3-small", (0.02, 0.0)),
            ("amazon.nova-pro-v1:0", (0.8, 3.2)),
        ],
    )
    def test_they_know_common_models(self, model: str, expected: tuple[float, float]) -> None:
        found = book(defaults=load_default_prices()).find("", model)
        assert found is not None
        assert (found.input_usd_per_mtok, found.output_usd_per_mtok) == expected

    @pytest.mark.parametrize("model", ["gpt-4o-audio-preview", "gpt-4o-realtime-preview", "claude-sonnet-9", "llama"])
    def test_they_do_not_guess_from_a_name_that_looks_alike(self, model: str) -> None:
        assert book(defaults=load_default_prices()).find("", model) is None

    def test_each_says_where_it_is_from_and_on_which_day(self) -> None:
        rows = load_default_prices()
        assert len(rows) >= 60
        assert all(one.source and one.as_of for one in rows)
        assert all((one.cached_input_usd_per_mtok or 0) <= one.input_usd_per_mtok for one in rows)


class TestBooks:
    def put(self, database: Database, usd: float, project: str = "default") -> None:
        with database.write() as tx:
            put_prices(tx, project, [Price("m", usd, 0)], actor="t", actor_role="", now_ns=NOW_NS)

    def test_a_change_is_seen_within_ten_seconds_and_not_before(self, database: Database) -> None:
        now = [NOW_NS]
        books = PriceBooks(database, lambda: now[0])
        self.put(database, 1)
        assert input_price(books.current("default"), "m") == 1.0
        self.put(database, 2)
        now[0] += REFRESH_NS - 1
        assert input_price(books.current("default"), "m") == 1.0
        now[0] += 1
        assert input_price(books.current("default"), "m") == 2.0
        with database.write() as tx:
            remove_prices(
                tx, "default", provider="", model="m", valid_from_ns=None, actor="t", actor_role="", now_ns=NOW_NS
            )
        now[0] += REFRESH_NS
        assert input_price(books.current("default"), "m") is None
        assert input_price(books.current("default"), "gpt-4o") == 2.5

    def test_projects_have_prices_of_their_own(self, database: Database) -> None:
        self.put(database, 1)
        books = PriceBooks(database, lambda: NOW_NS)
        assert input_price(books.current("default"), "m") == 1.0
        assert input_price(books.current("second"), "m") is None

    def test_the_last_known_prices_stay_while_the_database_cannot_be_read(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = [NOW_NS]
        books = PriceBooks(database, lambda: now[0])
        self.put(database, 1)
        books.current("default")
        now[0] += REFRESH_NS

        def refuse() -> NoReturn:
            raise DatabaseError("gone")

        monkeypatch.setattr(database, "read", refuse)
        assert input_price(books.current("default"), "m") == 1.0
        with pytest.raises(DatabaseError):
            books.current("second")

    def test_a_clock_that_is_set_back_makes_them_read_again(self, database: Database) -> None:
        now = [NOW_NS]
        books = PriceBooks(database, lambda: now[0])
        books.current("default")
        self.put(database, 5)
        now[0] -= 1
        assert input_price(books.current("default"), "m") == 5.0
