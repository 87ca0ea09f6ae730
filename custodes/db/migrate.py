"""Run the Alembic migrations that travel with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

import custodes
from custodes.db.database import Database
from custodes.kernel.errors import ConfigurationError

# The revision that encrypts the secrets of endpoints.
_ENCRYPTED_SINCE = "20261128_0012"


class SecretBox(Protocol):
    """What encrypts the secrets that a migration meets. It must not need the database while a migration runs."""

    def seal(self, place: str, text: str) -> bytes:
        """Return ``text`` encrypted for ``place``."""
        ...

    def open(self, place: str, sealed: bytes) -> str:
        """Return the text that was sealed for ``place``."""
        ...


def migrations_folder() -> Path:
    """Return the folder with the migrations: inside the installed package, else beside it in a checkout."""
    package = Path(custodes.__file__).resolve().parent
    for folder in (package / "_migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise ConfigurationError(f"no migrations beside {package}; the installation is incomplete, install custodes again")


def current_revision(database: Database) -> str | None:
    """Return the revision the database is at; ``None`` for an empty one."""
    with database.read() as tx:
        return MigrationContext.configure(tx._connection).get_current_revision()


def head_revision() -> str:
    """Return the newest revision this program knows."""
    head = ScriptDirectory(str(migrations_folder())).get_current_head()
    if head is None:
        raise ConfigurationError("the migrations folder holds no revision; install custodes again")
    return head


def meets_secrets(database: Database) -> bool:
    """Return whether the migrations ahead will encrypt secrets, for which a key must be at hand."""
    current = current_revision(database)
    if current is None or current >= _ENCRYPTED_SINCE:
        return False
    with database.read() as tx:
        return tx.execute(text("SELECT 1 FROM endpoint LIMIT 1")).first() is not None


def upgrade(database: Database, revision: str = "head", *, secret_box: SecretBox | None = None) -> None:
    """Bring the database to ``revision``; does nothing when it is there. Two processes may call it at once.

    ``secret_box`` is needed where a migration meets secrets, which an empty database has none of.
    """
    command.upgrade(_config(database, secret_box), revision)


def downgrade(database: Database, revision: str, *, secret_box: SecretBox | None = None) -> None:
    """Take the database back to ``revision`` (``base`` for empty); ``secret_box`` as for :func:`upgrade`."""
    command.downgrade(_config(database, secret_box), revision)


def _config(database: Database, secret_box: SecretBox | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["engine"] = database.engine
    config.attributes["secret_box"] = secret_box
    return config
