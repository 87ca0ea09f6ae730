"""What a call costs that arrived without saying so: prices per million tokens, by provider and model.

A project's own prices come before the list prices that travel with Custodes. Within each, the longest pattern that
matches wins, an exact name beats any pattern, and a price for one provider beats one for all. What matches nothing
costs ``None``: unknown is not free.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from collector.price_files import load_default_prices
from collector.price_rows import Price
from collector.store_prices import list_prices
from custodes.db import Database
from custodes.kernel.clock import SECOND_NS, Clock
from custodes.kernel.errors import DatabaseError
from custodes.kernel.logs import fields, get_logger

REFRESH_NS = 10 * SECOND_NS
"""How old a project's prices may be; a change takes effect within that time."""

_MAX_REMEMBERED = 10_000
_PER_MTOK = 1e-6
_log = get_logger("prices")

Rates = tuple[float, float, float]
"""USD per token: input, output, input read from the provider's cache."""


class PriceBook:
    """The prices one project pays at one time. Answers are remembered, since traffic names few models.

    ``own`` and ``defaults`` may hold rows of several times for one model; those in force at ``now_ns`` count.
    """

    def __init__(self, own: Iterable[Price], defaults: Iterable[Price], now_ns: int) -> None:
        self._shelves = [_in_force(own, now_ns), _in_force(defaults, now_ns)]
        self._rates: dict[tuple[str, str], Rates | None] = {}

    def cost_usd(
        self,
        provider: str,
        model: str,
        input_tokens: int | None,
        output_tokens: int | None,
        cached_input_tokens: int = 0,
    ) -> float | None:
        """Return the cost of a call in USD, ``None`` when its model or a count that has a price is unknown.

        ``input_tokens`` include the ``cached_input_tokens``, which were read from the provider's cache.
        """
        key = (provider, model)
        try:
            rates = self._rates[key]
        except KeyError:
            rates = self._remember(key)
        if rates is None or (input_tokens is None and output_tokens is None):
            return None
        input_rate, output_rate, cached_rate = rates
        # A count that is missing matters only where it has a price: embeddings have no output.
        if (input_tokens is None and input_rate) or (output_tokens is None and output_rate):
            return None
        read, written = input_tokens or 0, output_tokens or 0
        if read < 0 or written < 0:
            return None
        cached = min(max(cached_input_tokens, 0), read)
        cost = (read - cached) * input_rate + cached * cached_rate + written * output_rate
        return cost if math.isfinite(cost) else None

    def find(self, provider: str, model: str) -> Price | None:
        """Return the price in force for a model, ``None`` when there is none."""
        wanted = provider.strip().lower()
        for shelf in self._shelves:
            for name in _spellings(model):
                found = [one for one in shelf if one.provider in ("", wanted) and one.matches(name)]
                if found:
                    return max(found, key=lambda one: (not one.model.endswith("*"), len(one.model), one.provider != ""))
        return None

    def _remember(self, key: tuple[str, str]) -> Rates | None:
        found = self.find(*key)
        rates = None if found is None else _to_rates(found)
        # Senders choose the names; what they make us remember has a bound.
        if len(self._rates) >= _MAX_REMEMBERED:
            self._rates.clear()
        self._rates[key] = rates
        return rates


@dataclass(frozen=True, slots=True)
class _Shelf:
    book: PriceBook
    read_ns: int


class PriceBooks:
    """The price book of every project, in memory and at most :data:`REFRESH_NS` old. Thread-safe."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._defaults = load_default_prices()
        self._lock = threading.Lock()
        self._books: dict[str, _Shelf] = {}

    def current(self, project: str) -> PriceBook:
        """Return the project's prices, reading them again when they are too old.

        While the database cannot be read the last known prices stay in force; raises ``DatabaseError`` when none are
        known.
        """
        found = self._books.get(project)
        now_ns = self._clock()
        if found is not None and found.read_ns <= now_ns < found.read_ns + REFRESH_NS:
            return found.book
        with self._lock:
            return self._refresh(project, now_ns)

    def _refresh(self, project: str, now_ns: int) -> PriceBook:
        found = self._books.get(project)
        if found is not None and found.read_ns == now_ns:
            return found.book
        try:
            with self._database.read() as tx:
                own = list_prices(tx, project)
        except DatabaseError:
            if found is None:
                raise
            _log.warning("prices could not be read; the last known ones stay in force", extra=fields(project=project))
            fresh = replace(found, read_ns=now_ns)
        else:
            fresh = _Shelf(PriceBook(own, self._defaults, now_ns), now_ns)
        self._books[project] = fresh
        return fresh.book


def _in_force(prices: Iterable[Price], now_ns: int) -> Sequence[Price]:
    """Return the latest row of every (provider, model) that is valid at ``now_ns``."""
    latest: dict[tuple[str, str], Price] = {}
    for one in sorted(prices, key=lambda one: one.valid_from_ns):
        if one.valid_from_ns <= now_ns:
            latest[one.provider, one.model] = one
    return tuple(latest.values())


def _to_rates(one: Price) -> Rates:
    cached = one.input_usd_per_mtok if one.cached_input_usd_per_mtok is None else one.cached_input_usd_per_mtok
    return one.input_usd_per_mtok * _PER_MTOK, one.output_usd_per_mtok * _PER_MTOK, cached * _PER_MTOK


def _spellings(model: str) -> tuple[str, ...]:
    """Return how a model may stand in the table: as it is, then without the route that gateways put in front."""
    name = model.strip().lower()
    bare = re.sub(r"^.*/", "", name)
    return (name, bare) if bare and bare != name else (name,)
