"""The state of one policy group, everything ``step`` must remember, and its JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, get_args

import orjson

from custodes.kernel.errors import MalformedError
from policies.rules.document import StateName

STATES: tuple[StateName, ...] = get_args(StateName)
_LEGACY_FIELD = "evaluated_ns"
"""What releases before 0.2 also stored; a version's own row says it now."""


class GroupState(NamedTuple):
    """Where one group of one policy stands. A tuple, because a month of minutes makes millions of them.

    ``firing_since_ns`` is set exactly while an incident is open, also when the displayed state is
    ``error``. ``pending_since_ns`` starts the unbroken run in which ``when`` held. Times are unix
    nanoseconds of evaluations; ``None`` means never.
    """

    state: StateName = "ok"
    since_ns: int | None = None
    pending_since_ns: int | None = None
    firing_since_ns: int | None = None
    last_true_ns: int | None = None


def state_to_plain(state: GroupState) -> dict[str, Any]:
    """Return the state as a plain JSON object; :func:`plain_to_state` gives back an equal one."""
    return state._asdict()


def plain_to_state(fields: object) -> GroupState:
    """Return the state of a plain object; raise ``MalformedError`` for anything else."""
    if isinstance(fields, dict):
        fields = {name: value for name, value in fields.items() if name != _LEGACY_FIELD}
    if not isinstance(fields, dict) or set(fields) != set(GroupState._fields) or not _is_valid(fields):
        raise MalformedError("a stored policy state has unknown fields or values; it was written by another version")
    return GroupState(**fields)


def state_to_json(state: GroupState) -> bytes:
    """Return the state as JSON bytes; :func:`json_to_state` gives back an equal one."""
    return orjson.dumps(state_to_plain(state), option=orjson.OPT_SORT_KEYS)


def json_to_state(body: bytes) -> GroupState:
    """Return the state written by :func:`state_to_json`; raise ``MalformedError`` for anything else."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedError("a stored policy state is not JSON; the policy_state row was damaged") from error
    return plain_to_state(fields)


def _is_valid(fields: Mapping[str, object]) -> bool:
    times = [value for name, value in fields.items() if name != "state"]
    return fields["state"] in STATES and all(
        value is None or (isinstance(value, int) and not isinstance(value, bool)) for value in times
    )
