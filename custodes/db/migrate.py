"""Run the Alembic migrations that travel with the package."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import custodes
from custodes.db.database import Database
from custodes.kernel.errors import ConfigurationError


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


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the database to ``revision``; does nothing when it is there. Two processes may call it at once."""
    command.upgrade(_config(database), revision)


def downgrade(database: Database, revision: str) -> None:
    """Take the database back to ``revision`` (``base`` for empty)."""
    command.downgrade(_config(database), revision)


def _config(database: Database) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["engine"] = database.engine
    return config
