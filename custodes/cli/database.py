"""``custodes db``: the schema."""

from __future__ import annotations

import click

from collector.content import MasterSecretBox
from custodes.db import Database, open_database, sqlite_file
from custodes.db.migrate import current_revision, head_revision
from custodes.kernel.clock import system_clock
from custodes.kernel.errors import ConfigurationError
from custodes.kernel.settings import load_settings
from custodes.runtime.schema import upgrade_schema


def open_configured() -> Database:
    """Return the database of the settings, which must exist and be at this program's revision.

    Raises ``ConfigurationError`` saying what to do otherwise: a command that reads must not leave a new,
    empty data directory behind because it was called in the wrong folder.
    """
    settings = load_settings()
    file = sqlite_file(settings.database_url)
    advice = "start custodes up there first, or set CUSTODES_DATA_DIR or CUSTODES_DATABASE__URL to where your data is"
    if file is not None and not file.is_file():
        raise ConfigurationError(f"there is no database at {file}; {advice}")
    database = open_or_create()
    current, head = current_revision(database), head_revision()
    if current is None:
        raise ConfigurationError(f"the database is empty; {advice}, or run: custodes db upgrade")
    if current != head:
        raise ConfigurationError(
            f"the database is at revision {current}, this program needs {head}; run: custodes db upgrade"
        )
    return database


def open_or_create() -> Database:
    """Return the database of the settings as it is; a SQLite file is made at the first use."""
    settings = load_settings()
    return open_database(
        settings.database_url,
        pool_size=settings.database.pool_size,
        busy_timeout_s=settings.database.busy_timeout_s,
    )


def open_secret_box(database: Database) -> MasterSecretBox:
    """Return what encrypts the secrets of the configured installation."""
    return MasterSecretBox(database, load_settings(), system_clock)


@click.group()
def db() -> None:
    """The database schema."""


@db.command("upgrade")
def upgrade_command() -> None:
    """Bring the database to this program's revision; safe to run again."""
    database = open_or_create()
    before = current_revision(database)
    if before != head_revision():
        upgrade_schema(database, open_secret_box(database))
    after = current_revision(database)
    click.echo(f"database is at {after}" if before == after else f"database went from {before or 'empty'} to {after}")


@db.command()
def check() -> None:
    """Exit 0 when the database is at this program's revision, else 1."""
    current, head = current_revision(open_or_create()), head_revision()
    if current != head:
        click.echo(f"database is at {current or 'none'}, this program needs {head}; run: custodes db upgrade")
        raise click.exceptions.Exit(1)
    click.echo(f"database is at {current}, as this program needs")


@db.command()
def current() -> None:
    """Print the database's revision."""
    click.echo(current_revision(open_or_create()) or "none")
