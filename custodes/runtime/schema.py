"""Bringing the database to the state this program needs, or saying clearly why it is not."""

from __future__ import annotations

from collector.content import MasterSecretBox
from custodes.db import Database
from custodes.db.migrate import current_revision, head_revision, meets_secrets, upgrade
from custodes.db.tables import project
from custodes.kernel.errors import ConfigurationError

# Since then the database knows which master key it belongs to.
_KEYS_SINCE = "20261121_0002"


def upgrade_schema(database: Database, secret_box: MasterSecretBox) -> None:
    """Bring the database to this program's revision, with the key at hand for secrets that a migration meets."""
    if meets_secrets(database):
        if (current_revision(database) or "") < _KEYS_SINCE:
            upgrade(database, _KEYS_SINCE)
        # Now, because a migration holds the one writer's place that recording a new key would wait for.
        secret_box.prepare()
    upgrade(database, secret_box=secret_box)


def prepare_schema(
    database: Database, default_project: str, secret_box: MasterSecretBox, *, now_ns: int, embedded: bool
) -> None:
    """Upgrade an embedded (or SQLite) database; for a shared PostgreSQL insist that somebody upgraded it.

    A database that is newer than this program raises ``ConfigurationError`` rather than being touched.
    """
    current, head = current_revision(database), head_revision()
    if current is not None and current > head:
        raise ConfigurationError(
            f"the database is at revision {current}, newer than this program's {head}; install the newer custodes"
        )
    if current != head:
        if database.dialect == "postgresql" and not embedded:
            raise ConfigurationError(
                f"the database is at revision {current or 'none'}, this program needs {head}; run: custodes db upgrade"
            )
        upgrade_schema(database, secret_box)
    with database.write() as tx:
        tx.execute(tx.insert(project).values(id=default_project, created_ns=now_ns).on_conflict_do_nothing())
