"""Alembic environment: runs migrations on the engine handed over by ``custodes.db.migrate``."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Engine, text

LOCK = 0x637573746F6465  # "custode": one migrating process at a time on PostgreSQL


def run() -> None:
    engine: Engine | None = context.config.attributes.get("engine")
    if engine is None:
        raise SystemExit("run migrations with: custodes db upgrade")
    with engine.connect() as plain:
        connection = plain.execution_options(custodes_write=True)
        with connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL lock_timeout = '10s'"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            context.configure(connection=connection, transactional_ddl=True)
            with context.begin_transaction():
                context.run_migrations()


run()
