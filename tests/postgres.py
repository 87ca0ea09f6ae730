"""One PostgreSQL database that every test finds as migrations leave it: emptied after each, not made anew.

To copy a template takes a third of a second of processor time, a thousand times. To empty the few tables a test has
written to takes some ten milliseconds. A test that changed the schema costs a copy.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

import psycopg
from sqlalchemy import make_url

_SEED: Final = "custodes_seed"

# What a schema is made of, as one value.
_FINGERPRINT: Final = """
SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (
  SELECT format('%s.%s %s %s %s', c.relname, a.attname, a.atttypid, a.attnotnull, a.atthasdef) AS line
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT format('%s %s', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint
  WHERE connamespace = 'public'::regnamespace
  UNION ALL
  SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
  UNION ALL
  SELECT format('%s %s', pg_get_triggerdef(oid), tgenabled) FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL
  SELECT format('%s %s', proname, prosrc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
) AS lines
"""

# Keeps a copy of what migrations put into tables. Its schema is not one that anything of Custodes looks at.
_KEEP_SEED: Final = f"""
CREATE SCHEMA {_SEED};
DO $$
DECLARE name text; filled boolean;
BEGIN
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', name) INTO filled;
    IF filled THEN EXECUTE format('CREATE TABLE {_SEED}.%I AS TABLE public.%I', name, name); END IF;
  END LOOP;
END $$;
"""

_EMPTY: Final = f"""
SET session_replication_role = replica;
DO $$
DECLARE name text; filled boolean;
BEGIN
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', name) INTO filled;
    IF filled THEN EXECUTE format('DELETE FROM public.%I', name); END IF;
  END LOOP;
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = '{_SEED}' LOOP
    EXECUTE format('INSERT INTO public.%I OVERRIDING SYSTEM VALUE TABLE {_SEED}.%I', name, name);
  END LOOP;
  FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL LOOP
    PERFORM setval(format('public.%I', name), 1, false);
  END LOOP;
END $$;
SET session_replication_role = DEFAULT;
"""


class ReusedDatabase:
    """A database on the server at ``maintenance_url``, copied from ``template`` when there is need to."""

    def __init__(self, maintenance_url: str, template: str) -> None:
        self._maintenance = make_url(maintenance_url)
        self._template = template
        self._name = f"test_{uuid.uuid4().hex[:12]}"
        self._connection: psycopg.Connection[Any] | None = None
        self._fingerprint = ""

    @property
    def url(self) -> str:
        """Where it is."""
        return self._maintenance.set(database=self._name).render_as_string(hide_password=False)

    def prepare(self) -> None:
        """Make it if it is not there."""
        if self._connection is not None:
            return
        with _connect(self._maintenance) as maintenance:
            maintenance.execute(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")
            maintenance.execute(f"CREATE DATABASE {self._name} TEMPLATE {self._template}")
        self._connection = _connect(self._maintenance.set(database=self._name))
        self._connection.execute(_KEEP_SEED)
        self._fingerprint = self._read_fingerprint(self._connection)

    def clean(self) -> None:
        """End whoever is still connected, and leave it as :meth:`prepare` did, or to be made again."""
        connection = self._connection
        if connection is None:
            return
        try:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            if self._read_fingerprint(connection) == self._fingerprint:
                connection.execute(_EMPTY)
                return
        except psycopg.Error:
            pass
        self.close()

    def close(self) -> None:
        """Let go of it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @staticmethod
    def _read_fingerprint(connection: psycopg.Connection[Any]) -> str:
        row = connection.execute(_FINGERPRINT).fetchone()
        return "" if row is None else str(row[0])


def _connect(url: Any) -> psycopg.Connection[Any]:
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, autocommit=True)
