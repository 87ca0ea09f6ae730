"""``custodes db``: the schema."""

from __future__ import annotations

import click

from custodes.db import Database, open_database
from custodes.db.migrate import current_revision, head_revision, upgrade
from custodes.kernel.settings import load_settings


def open_configured() -> Database:
    """Return the database of the settings."""
    settings = load_settings()
    return open_database(
        settings.database_url,
        pool_size=settings.database.pool_size,
        busy_timeout_s=settings.database.busy_timeout_s,
    )


@click.group()
def db() -> None:
    """The database schema."""


@db.command("upgrade")
def upgrade_command() -> None:
    """Bring the database to this program's revision; safe to run again."""
    database = open_configured()
    before = current_revision(database)
    upgrade(database)
    after = current_revision(database)
    click.echo(f"database is at {after}" if before == after else f"database went from {before or 'empty'} to {after}")


@db.command()
def check() -> None:
    """Exit 0 when the database is at this program's revision, else 1."""
    current, head = current_revision(open_configured()), head_revision()
    if current != head:
        click.echo(f"database is at {current or 'none'}, this program needs {head}; run: custodes db upgrade")
        raise click.exceptions.Exit(1)
    click.echo(f"database is at {current}, as this program needs")


@db.command()
def current() -> None:
    """Print the database's revision."""
    click.echo(current_revision(open_configured()) or "none")
