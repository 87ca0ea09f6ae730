"""Reads files of outcomes by group: JSON lines or CSV of {"group", "outcome", "stratum"}.

What cannot be compared is an error with its line, never a guess: a file whose outcomes run from 0 to 100 would
otherwise lose all but a few rows. An outcome that is null, NaN or an empty cell is "not assessed" and kept as such.
"""

from __future__ import annotations

import csv
import json
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from detectors.errors import OutcomeLineError

NO_GROUP: Final = -1
PLAIN_OUTCOME: Final = "outcome"
"""The name of the outcome in files that have one number a row."""


@dataclass(slots=True)
class OutcomeRows:
    """The rows of a file by column. ``groups[i]`` is the place of row i's group in ``group_names``, or -1.

    ``outcomes`` maps each outcome's name to one number a row, NaN where it was not assessed.
    """

    group_names: list[str] = field(default_factory=list)
    stratum_names: list[str] = field(default_factory=list)
    groups: array[int] = field(default_factory=lambda: array("i"))
    strata: array[int] = field(default_factory=lambda: array("i"))
    outcomes: dict[str, array[float]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.groups)


def read_rows(lines: Iterable[str], *, is_csv: bool) -> OutcomeRows:
    """Return every row of ``lines``; blank lines are skipped and not counted.

    ``group`` is a string, number or boolean, or null for a row that belongs to no group and only stands among the
    others. ``outcome`` is a number in [0, 1], a boolean, or an object of several by name. ``stratum`` may be left out.
    Raises ``OutcomeLineError`` for the first line that is not like that.
    """
    rows = OutcomeRows()
    group_places: dict[str, int] = {}
    stratum_places: dict[str, int] = {}
    for line_no, row in _read_csv(lines) if is_csv else _read_json(lines):
        group = _name(row, "group", line_no)
        stratum = _name(row, "stratum", line_no) if "stratum" in row else None
        found = _outcomes(row, line_no)
        rows.groups.append(NO_GROUP if group is None else _place(group, group_places, rows.group_names))
        rows.strata.append(_place(stratum or "", stratum_places, rows.stratum_names))
        for name in found.keys() - rows.outcomes.keys():
            rows.outcomes[name] = array("d", [math.nan]) * (len(rows) - 1)
        for name, column in rows.outcomes.items():
            column.append(found.get(name, math.nan))
    return rows


def _read_json(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for line_no, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise OutcomeLineError(line_no, "not JSON; each line is one object such as "
                                   '{"group": "a", "outcome": 0, "stratum": "s"}') from None  # fmt: skip
        if not isinstance(row, dict):
            raise OutcomeLineError(line_no, "must be an object with 'group' and 'outcome'")
        yield line_no, row


def _read_csv(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(lines, strict=True)
    try:
        missing = {"group", "outcome"} - set(reader.fieldnames or ())
        if missing:
            raise OutcomeLineError(1, f"the header lacks {' and '.join(sorted(missing))}")
        for row in reader:
            if None in row or None in row.values():
                raise OutcomeLineError(reader.line_num, "does not have as many cells as the header")
            yield reader.line_num, {**row, "group": row["group"] or None, "outcome": _cell(row["outcome"])}
    except csv.Error as error:
        raise OutcomeLineError(reader.line_num, f"not CSV: {error}") from None


def _cell(text: str) -> object:
    """Return the value of a CSV cell; text that is no number is returned as it is, and refused later."""
    word = text.strip().lower()
    if word in ("true", "false"):
        return word == "true"
    try:
        return float(word) if word else None
    except ValueError:
        return text


def _name(row: Mapping[str, Any], key: str, line_no: int) -> str | None:
    if key not in row:
        raise OutcomeLineError(line_no, "is missing; null stands for no group", field=key)
    value = row[key]
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise OutcomeLineError(line_no, "must be a string, a number or null", field=key)


def _outcomes(row: Mapping[str, Any], line_no: int) -> dict[str, float]:
    if "outcome" not in row:
        raise OutcomeLineError(line_no, "is missing; null stands for one that was not assessed", field="outcome")
    value = row["outcome"]
    named = value if isinstance(value, dict) else {PLAIN_OUTCOME: value}
    return {name: _number(one, line_no) for name, one in named.items()}


def _number(value: object, line_no: int) -> float:
    if value is None:
        return math.nan
    if not isinstance(value, bool | int | float):
        raise OutcomeLineError(line_no, "must be a number in [0, 1], a boolean or null", field="outcome")
    if math.isnan(value):
        return math.nan
    if not 0.0 <= value <= 1.0:
        raise OutcomeLineError(line_no, f"must be in [0, 1], got {value!r}; divide by the largest possible value",
                               field="outcome")  # fmt: skip
    return float(value)


def _place(name: str, places: dict[str, int], names: list[str]) -> int:
    place = places.get(name)
    if place is None:
        place = places[name] = len(names)
        names.append(name)
    return place
