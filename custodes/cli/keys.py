"""``custodes key``: API keys."""

from __future__ import annotations

import getpass
import json

import click

from collector.auth.roles import ROLES, Role
from collector.auth.store import KeyRecord, create_key, list_keys, revoke_key
from custodes.cli.database import open_configured
from custodes.kernel.clock import ns_to_rfc3339, system_clock
from policies.rules.duration import parse_duration


def local_actor() -> str:
    """Return who is at this terminal, for the audit trail."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return "cli:unknown"


@click.group()
def key() -> None:
    """API keys: who may send traffic, read, approve."""


@key.command()
@click.option("--project", default="default", show_default=True, help="Project the key belongs to.")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What the key may do.")
@click.option("--expires", metavar="DURATION", help="Lifetime, e.g. 90d or 12h; without it the key never expires.")
@click.option("--note", default="", help="What the key is for.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def create(project: str, role: Role, expires: str | None, note: str, as_json: bool) -> None:
    """Create a key and print it; it cannot be shown again."""
    now_ns = system_clock()
    try:
        expires_ns = None if expires is None else now_ns + parse_duration(expires)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--expires") from error
    with open_configured().write() as tx:
        made = create_key(
            tx,
            project_id=project,
            role=role,
            actor=local_actor(),
            actor_role="operator",
            now_ns=now_ns,
            expires_ns=expires_ns,
            note=note,
        )
    if as_json:
        click.echo(json.dumps({"key": made.text, **_to_json(made.record)}))
    else:
        click.echo(made.text)
        click.echo(f"key {made.record.id} for project {project!r}, role {role}; it is not shown again", err=True)
    if made.new_project:
        advice = f"if that is a typing error, run: custodes key revoke {made.record.id}"
        click.echo(f"project {project!r} is new; {advice}", err=True)


@key.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def list_command(as_json: bool) -> None:
    """List the keys, newest first."""
    with open_configured().read() as tx:
        records = list_keys(tx)
    for record in records:
        if as_json:
            click.echo(json.dumps(_to_json(record)))
            continue
        state = "revoked" if record.revoked_ns else "active"
        used = ns_to_rfc3339(record.last_used_ns)[:16] if record.last_used_ns else "never used"
        click.echo(f"{record.id}  {record.role:<9} {record.project:<16} {state:<8} {used:<17} {record.note}")
    if not records and not as_json:
        click.echo("no keys yet; make one with: custodes key create --role ingester")


@key.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """Make a key useless from now on."""
    with open_configured().write() as tx:
        revoke_key(tx, key_id, project_id=None, actor=local_actor(), actor_role="operator", now_ns=system_clock())
    click.echo(f"key {key_id} is revoked")


def _to_json(record: KeyRecord) -> dict[str, object]:
    def stamp(ns: int | None) -> str | None:
        return None if ns is None else ns_to_rfc3339(ns)

    return {
        "id": record.id,
        "project": record.project,
        "role": record.role,
        "note": record.note,
        "created_at": stamp(record.created_ns),
        "expires_at": stamp(record.expires_ns),
        "revoked_at": stamp(record.revoked_ns),
        "last_used_at": stamp(record.last_used_ns),
    }
