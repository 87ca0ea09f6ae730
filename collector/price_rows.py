"""One row of a price table, and the rules it obeys."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from custodes.kernel.errors import InvalidInputError

MAX_USD_PER_MTOK = 1e6
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens of a model cost in USD, from ``valid_from_ns`` until a later row takes over.

    ``provider`` is empty for any. ``model`` is a name, or the beginning of one with a trailing ``*``. Both are compared
    in lower case. ``source`` says who quotes the price and ``as_of`` on which day. Without
    ``cached_input_usd_per_mtok``, input read from the provider's cache costs like any other.

    Raises ``InvalidInputError`` naming the field that is wrong.
    """

    model: str
    input_usd_per_mtok: float
    output_usd_per_mtok: float
    provider: str = ""
    cached_input_usd_per_mtok: float | None = None
    valid_from_ns: int = 0
    source: str = ""
    as_of: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", self.model.strip().lower())
        object.__setattr__(self, "provider", self.provider.strip().lower())
        _check_text("model", self.model, 256)
        _check_text("provider", self.provider, 128)
        _check_text("source", self.source, 200)
        if not self.model or "*" in self.model[:-1]:
            raise InvalidInputError(
                f"model must be a name, or the beginning of one with a * at its end; seen {self.model!r}"
            )
        for name in ("input_usd_per_mtok", "output_usd_per_mtok", "cached_input_usd_per_mtok"):
            _check_amount(name, getattr(self, name), optional=name.startswith("cached"))
        if self.as_of and _DAY.fullmatch(self.as_of) is None:
            raise InvalidInputError(f"as_of must be a day such as 2026-11-21; seen {self.as_of[:40]!r}")
        if not 0 <= self.valid_from_ns < 2**63:
            raise InvalidInputError(f"valid_from lies outside the calendar; seen {self.valid_from_ns} ns")

    def matches(self, name: str) -> bool:
        """Return whether a model's name, in lower case, is meant by this row."""
        return name.startswith(self.model[:-1]) if self.model.endswith("*") else name == self.model


def _check_text(name: str, text: str, longest: int) -> None:
    if len(text) > longest or not text.isprintable():
        raise InvalidInputError(f"{name} must be at most {longest} printable characters; seen {text[:40]!r}")


def _check_amount(name: str, usd: float | None, *, optional: bool) -> None:
    if usd is None and optional:
        return
    if usd is None or not math.isfinite(usd) or not 0 <= usd <= MAX_USD_PER_MTOK:
        raise InvalidInputError(f"{name} must be 0 to {MAX_USD_PER_MTOK:g} USD per million tokens; seen {usd!r}")
