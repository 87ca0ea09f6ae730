"""Channels, encrypted secrets of endpoints, circuit breakers and replays.

Why: an endpoint's signing secret lay in the database as it is, so whoever reads a copy could sign in our name; it moves
into ``sealed``, encrypted under the installation's master key, as do the addresses and keys of chat and paging
services. ``secret_box`` in the configuration's attributes does that; where there is no endpoint, none is needed.
``failures`` and ``open_until_ns`` are a breaker that every process shares, ``tries`` numbers attempts on after a
replay has given a message ten new ones.

Going down decrypts what it can. Endpoints of other kinds mean nothing to the program before: they are disabled.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import context, op

revision = "20261128_0012"
down_revision = "20261128_0011"
branch_labels = None
depends_on = None

_ENDPOINT_COLUMNS = (
    ("kind", sa.String(length=16), "webhook"),
    ("options", sa.LargeBinary(), None),
    ("sealed", sa.LargeBinary(), None),
    ("previous", sa.LargeBinary(), None),
    ("previous_until_ns", sa.BigInteger(), None),
    ("revision", sa.Integer(), "1"),
    ("failures", sa.Integer(), "0"),
    ("open_until_ns", sa.BigInteger(), None),
    ("delivered_ns", sa.BigInteger(), None),
    ("failed_ns", sa.BigInteger(), None),
    ("last_error", sa.String(length=256), None),
)


def upgrade() -> None:
    for name, kind, default in _ENDPOINT_COLUMNS:
        op.add_column("endpoint", sa.Column(name, kind, server_default=default, nullable=default is None))
    op.add_column("outbox", sa.Column("tries", sa.Integer(), server_default="0", nullable=False))
    op.add_column("outbox", sa.Column("replayed_ns", sa.BigInteger(), nullable=True))
    op.execute("UPDATE outbox SET tries = attempts")
    with _Erased():
        for row in _rows("SELECT project_id, id, secret FROM endpoint"):
            sealed = _box().seal(_place(row), json.dumps({"signing": row.secret}))
            _set(row, "sealed = :sealed, secret = ''", sealed=sealed)
        op.drop_column("endpoint", "secret")


def downgrade() -> None:
    op.add_column("endpoint", sa.Column("secret", sa.String(length=256), server_default="", nullable=False))
    for row in _rows("SELECT project_id, id, kind, sealed, previous FROM endpoint"):
        # The program before knows two keys in one column, which sign side by side.
        found = [_open(row, sealed).get("signing", "") for sealed in (row.sealed, row.previous)]
        keys = " ".join(key for key in found if key)
        if row.kind == "webhook" and keys and len(keys) <= 256:
            _set(row, "secret = :secret", secret=keys)
        elif row.kind == "webhook" and found[0]:
            _set(row, "secret = :secret", secret=found[0])
        else:
            reason = f"the kind {row.kind} is not known to this version"
            _set(row, "state = 'disabled', disabled_reason = :reason", reason=reason)
    op.drop_column("outbox", "replayed_ns")
    op.drop_column("outbox", "tries")
    for name, _, _ in reversed(_ENDPOINT_COLUMNS):
        op.drop_column("endpoint", name)


class _Erased:
    """Have SQLite overwrite with zeros what is deleted, so that no plain secret stays in a free page."""

    def __enter__(self) -> None:
        self._switch("ON")

    def __exit__(self, *_: object) -> None:
        self._switch("OFF")

    def _switch(self, state: str) -> None:
        if op.get_bind().dialect.name == "sqlite":
            op.execute(f"PRAGMA secure_delete={state}")


def _rows(statement: str) -> list[Any]:
    return list(op.get_bind().execute(sa.text(statement)))


def _set(row: Any, changes: str, **values: Any) -> None:
    statement = sa.text(f"UPDATE endpoint SET {changes} WHERE project_id = :project AND id = :id")
    op.get_bind().execute(statement, {"project": row.project_id, "id": row.id, **values})


def _open(row: Any, sealed: bytes | None) -> dict[str, str]:
    return {} if sealed is None else json.loads(_box().open(_place(row), bytes(sealed)))


def _place(row: Any) -> str:
    return f"endpoint\0{row.project_id}\0{row.id}"


def _box() -> Any:
    box = context.config.attributes.get("secret_box")
    if box is None:
        raise RuntimeError("endpoints have secrets to encrypt; run: custodes db upgrade")
    return box
