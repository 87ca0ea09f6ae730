"""Price tables as files."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.price_files import MAX_ROWS, load_default_prices, parse_prices, row_to_price
from collector.price_rows import Price
from custodes.kernel.clock import rfc3339_to_ns
from custodes.kernel.errors import CustodesError, InvalidInputError, MalformedError, TooLargeError

HEAD = "model,input_usd_per_mtok,output_usd_per_mtok"


class TestFiles:
    def test_csv_and_json_say_the_same(self) -> None:
        text = (
            "# from the contract\n"
            "provider,model,input_usd_per_mtok,output_usd_per_mtok,cached_input_usd_per_mtok,valid_from,source,as_of\n"
            "azure,GPT-4o*,2.5,10,1.25,2026-12-01,contract,2026-11-20\n"
            ",m,0,0,,,,\n"
        )
        rows = [
            {
                "provider": "azure",
                "model": "GPT-4o*",
                "input_usd_per_mtok": 2.5,
                "output_usd_per_mtok": 10,
                "cached_input_usd_per_mtok": "1.25",
                "valid_from": "2026-12-01T00:00:00Z",
                "source": "contract",
                "as_of": "2026-11-20",
            },
            {"model": "m", "input_usd_per_mtok": 0, "output_usd_per_mtok": 0, "cached_input_usd_per_mtok": None},
        ]
        expected = [
            Price("gpt-4o*", 2.5, 10.0, "azure", 1.25, rfc3339_to_ns("2026-12-01T00:00:00Z"), "contract", "2026-11-20"),
            Price("m", 0.0, 0.0),
        ]
        assert parse_prices(text, "prices.CSV") == parse_prices(json.dumps(rows), "p.json") == expected

    @pytest.mark.parametrize(
        ("text", "name", "word"),
        [
            (f"{HEAD}\nm,1", "p.csv", "line 2"),
            (f"# c\n{HEAD}\nm,1,2\nn,x,2", "p.csv", "line 4.*input_usd_per_mtok"),
            (f"{HEAD}\nm,1,2,3", "p.csv", "line 2"),
            (f"{HEAD}\n,1,2", "p.csv", "model"),
            (f"{HEAD}\nm,,2", "p.csv", "input_usd_per_mtok must be given"),
            (f"{HEAD}\nm,-1,2", "p.csv", "0 to"),
            (f"{HEAD}\nm,nan,2", "p.csv", "0 to"),
            (f"{HEAD}\nm*x,1,2", "p.csv", "end"),
            (f"{HEAD}\nm,1,2\nM,3,4", "p.csv", "two prices"),
            (f'{HEAD}\n"m,1,2', "p.csv", "CSV"),
            ("modell,input_usd_per_mtok,output_usd_per_mtok\nm,1,2", "p.csv", "unknown field modell"),
            ("{", "p.json", "not JSON"),
            ("[" * 100_000, "p.json", "not JSON"),
            ("{}", "p.json", "list of objects"),
            ("[1]", "p.json", "list of objects"),
            ('[{"model": 3, "input_usd_per_mtok": 1, "output_usd_per_mtok": 1}]', "p.json", "row 1: model"),
            ('[{"model": "m", "input_usd_per_mtok": true, "output_usd_per_mtok": 1}]', "p.json", "number"),
            (
                '[{"model": "m", "input_usd_per_mtok": 1, "output_usd_per_mtok": 1, "as_of": "today"}]',
                "p.json",
                "as_of",
            ),
            (
                '[{"model": "m", "input_usd_per_mtok": 1, "output_usd_per_mtok": 1, "valid_from": "x"}]',
                "p.json",
                "time",
            ),
        ],
    )
    def test_a_row_that_is_wrong_is_named(self, text: str, name: str, word: str) -> None:
        with pytest.raises(MalformedError, match=word):
            parse_prices(text, name)

    def test_only_csv_and_json_are_read(self) -> None:
        with pytest.raises(InvalidInputError, match="csv"):
            parse_prices(HEAD, "prices.xlsx")

    def test_too_many_rows_are_refused(self) -> None:
        rows = "\n".join(f"m{number},1,1" for number in range(MAX_ROWS + 1))
        with pytest.raises(TooLargeError):
            parse_prices(f"{HEAD}\n{rows}", "p.csv")

    @given(st.text(max_size=300), st.sampled_from(["p.csv", "p.json"]))
    def test_any_text_gives_prices_or_our_error(self, text: str, name: str) -> None:
        with suppress(CustodesError):
            parse_prices(text, name)
        with suppress(CustodesError):
            parse_prices(f"{HEAD}\n{text}", name)


class TestRows:
    @given(
        st.dictionaries(
            st.sampled_from(["model", "input_usd_per_mtok", "output_usd_per_mtok", "provider", "valid_from", "x"]),
            st.one_of(st.none(), st.text(max_size=20), st.floats(), st.integers(), st.booleans(), st.lists(st.none())),
        )
    )
    def test_any_row_gives_a_price_or_our_error(self, row: dict[str, object]) -> None:
        with suppress(CustodesError):
            row_to_price(row)

    def test_a_file_written_from_prices_reads_back(self) -> None:
        names = ("model", "provider", "input_usd_per_mtok", "output_usd_per_mtok", "cached_input_usd_per_mtok")
        rows = load_default_prices()
        more = ("source", "as_of")
        text = json.dumps([{name: getattr(one, name) for name in (*names, *more)} for one in rows])
        assert tuple(parse_prices(text, "p.json")) == rows
