"""Price tables as files: CSV with a header line, or a JSON list of objects with the same names.

Lines that begin with ``#`` are comments. ``model``, ``input_usd_per_mtok`` and ``output_usd_per_mtok`` must be there;
``provider``, ``cached_input_usd_per_mtok``, ``valid_from`` (RFC 3339, or a day), ``source`` and ``as_of`` may.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from collector.price_rows import Price
from custodes.kernel.clock import rfc3339_to_ns
from custodes.kernel.errors import InvalidInputError, MalformedError, TooLargeError

MAX_ROWS = 10_000
_DEFAULT_FILE = Path(__file__).with_name("prices_default.csv")
_NEEDED = ("model", "input_usd_per_mtok", "output_usd_per_mtok")
_KNOWN = frozenset({*_NEEDED, "provider", "cached_input_usd_per_mtok", "valid_from", "source", "as_of"})


def load_default_prices() -> tuple[Price, ...]:
    """Return the list prices that travel with Custodes."""
    return tuple(parse_prices(_DEFAULT_FILE.read_text(encoding="utf-8"), _DEFAULT_FILE.name))


def parse_prices(text: str, name: str) -> list[Price]:
    """Return the rows of a price file; ``name`` ends in ``.csv`` or ``.json`` and says which it is.

    Raises ``MalformedError`` naming the row and field that cannot be read, and ``TooLargeError`` above
    :data:`MAX_ROWS` rows. A file with a row that is wrong gives no rows at all.
    """
    if name.lower().endswith(".json"):
        rows = _json_rows(text, name)
    elif name.lower().endswith(".csv"):
        rows = _csv_rows(text, name)
    else:
        raise InvalidInputError(f"{name}: prices are read from .csv and .json files")
    prices: list[Price] = []
    for place, row in rows:
        if len(prices) == MAX_ROWS:
            raise TooLargeError(f"{name} has more than {MAX_ROWS} prices; split it", limit=MAX_ROWS)
        try:
            prices.append(row_to_price(row))
        except InvalidInputError as error:
            raise MalformedError(f"{name}, {place}: {error}") from error
    _refuse_doubles(prices, name)
    return prices


def row_to_price(row: Mapping[str, Any]) -> Price:
    """Return the price of one row of texts and numbers; raise ``InvalidInputError`` naming the field."""
    if unknown := sorted(str(name)[:40] for name in set(row) - _KNOWN):
        raise InvalidInputError(f"unknown field {', '.join(unknown)}; known are {', '.join(sorted(_KNOWN))}")
    if missing := [name for name in _NEEDED if row.get(name) in (None, "")]:
        raise InvalidInputError(f"{', '.join(missing)} must be given")
    cached = row.get("cached_input_usd_per_mtok")
    return Price(
        model=_to_text("model", row["model"]),
        provider=_to_text("provider", row.get("provider")),
        input_usd_per_mtok=_to_amount("input_usd_per_mtok", row["input_usd_per_mtok"]),
        output_usd_per_mtok=_to_amount("output_usd_per_mtok", row["output_usd_per_mtok"]),
        cached_input_usd_per_mtok=None if cached in (None, "") else _to_amount("cached_input_usd_per_mtok", cached),
        valid_from_ns=read_day(_to_text("valid_from", row.get("valid_from"))),
        source=_to_text("source", row.get("source")),
        as_of=_to_text("as_of", row.get("as_of")),
    )


def read_day(written: str) -> int:
    """Return the unix nanoseconds of a day or an RFC 3339 time, 0 for an empty text; raise ``InvalidInputError``."""
    if not written:
        return 0
    try:
        return rfc3339_to_ns(f"{written}T00:00:00Z" if len(written) == len("2026-11-21") else written)
    except ValueError as error:
        raise InvalidInputError(
            f"valid_from is not a time: {written[:40]!r}; write 2026-11-21 or 2026-11-21T00:00:00Z"
        ) from error


def _csv_rows(text: str, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    numbered = [(n, line) for n, line in enumerate(text.lstrip("\ufeff").splitlines(), 1) if not line.startswith("#")]
    reader = csv.DictReader((line for _, line in numbered), strict=True)
    try:
        for row in reader:
            place = f"line {numbered[reader.line_num - 1][0]}"
            if None in row or None in row.values():
                raise MalformedError(f"{name}, {place}: {len(reader.fieldnames or ())} fields are needed")
            yield place, row
    except csv.Error as error:
        raise MalformedError(f"{name} is not CSV: {error}") from error


def _json_rows(text: str, name: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"{name} is not JSON: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise MalformedError(f"{name} must be a list of objects")
    return [(f"row {n}", row) for n, row in enumerate(rows, 1)]


def _to_text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidInputError(f"{name} must be a text; seen {type(value).__name__}")
    return value.strip()


def _to_amount(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidInputError(f"{name} must be a number; seen {type(value).__name__}")
    try:
        return float(value)
    except (ValueError, OverflowError) as error:
        raise InvalidInputError(f"{name} must be a number of USD per million tokens; seen {value!r:.40}") from error


def _refuse_doubles(prices: Iterable[Price], name: str) -> None:
    seen: set[tuple[str, str, int]] = set()
    for one in prices:
        key = (one.provider, one.model, one.valid_from_ns)
        if key in seen:
            raise MalformedError(f"{name} has two prices for model {one.model!r} and the same provider and valid_from")
        seen.add(key)
