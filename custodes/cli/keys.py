"""``custodes key``: API keys."""

from __future__ import annotations

import getpass
import json

import click

from collector.auth.roles import ROLES, Role
from collector.auth.store import KeyLimits, KeyRecord, create_key, list_keys, revoke_key, rotate_key
from custodes.cli.database import open_configured
from custodes.kernel.clock import ns_to_rfc3339, system_clock
from policies.rules.duration import parse_duration

_DEFAULT_PROJECT = "default"


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
@click.option("--project", default=_DEFAULT_PROJECT, show_default=True, help="Project the key belongs to.")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What the key may do.")
@click.option("--expires", metavar="DURATION", help="Lifetime, e.g. 90d or 12h; without it the key never expires.")
@click.option("--note", default="", help="What the key is for.")
@click.option("--max-spans-per-s", type=float, help="Most spans a second this key may send.")
@click.option("--max-concurrent", type=int, help="Most requests of this key at the same time.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def create(
    project: str,
    role: Role,
    expires: str | None,
    note: str,
    max_spans_per_s: float | None,
    max_concurrent: int | None,
    as_json: bool,
) -> None:
    """Create a key and print it; it cannot be shown again."""
    now_ns = system_clock()
    expires_ns = None if expires is None else now_ns + _read_duration("--expires", expires)
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
            limits=KeyLimits(max_spans_per_s, max_concurrent),
        )
    if as_json:
        click.echo(json.dumps({"key": made.text, **_to_json(made.record)}))
    else:
        click.echo(made.text)
        click.echo(f"key {made.record.id} for project {project!r}, role {role}; it is not shown again", err=True)
    # Nobody mistypes what they need not type: the first key of an installation makes this project.
    if made.new_project and project != _DEFAULT_PROJECT:
        advice = f"if that is a typing error, run: custodes key revoke {made.record.id}"
        click.echo(f"project {project!r} is new; {advice}", err=True)


@key.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def list_command(as_json: bool) -> None:
    """List the keys, newest first."""
    with open_configured().read() as tx:
        records = list_keys(tx)
    now_ns = system_clock()
    for record in records:
        click.echo(json.dumps(_to_json(record)) if as_json else _to_line(record, now_ns))
    if not records and not as_json:
        click.echo("no keys yet; make one with: custodes key create --role ingester")


@key.command()
@click.argument("key_id")
@click.option("--overlap", default="24h", show_default=True, metavar="DURATION", help="How long both keys work.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def rotate(key_id: str, overlap: str, as_json: bool) -> None:
    """Replace a key by one like it and print that; the old one works until the overlap ends."""
    overlap_ns = _read_duration("--overlap", overlap)
    with open_configured().write() as tx:
        made = rotate_key(
            tx,
            key_id,
            project_id=None,
            overlap_ns=overlap_ns,
            actor=local_actor(),
            actor_role="operator",
            now_ns=system_clock(),
        )
    if as_json:
        click.echo(json.dumps({"key": made.text, **_to_json(made.record), "old": _to_json(made.old)}))
        return
    click.echo(made.text)
    click.echo(f"key {made.record.id} takes over from {key_id}; it is not shown again", err=True)
    if made.old.expires_ns is not None:
        click.echo(f"key {key_id} works until {ns_to_rfc3339(made.old.expires_ns)}", err=True)


@key.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """Make a key useless: at once here, within two seconds in servers that run."""
    with open_configured().write() as tx:
        revoke_key(tx, key_id, project_id=None, actor=local_actor(), actor_role="operator", now_ns=system_clock())
    click.echo(f"key {key_id} is revoked")


def _read_duration(option: str, written: str) -> int:
    try:
        return parse_duration(written)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


def _to_line(record: KeyRecord, now_ns: int) -> str:
    state = "active"
    if record.revoked_ns is not None:
        state = "revoked"
    elif record.expires_ns is not None:
        until = ns_to_rfc3339(record.expires_ns)[:16]
        state = f"expired {until}" if record.expires_ns <= now_ns else f"until {until}"
    used = ns_to_rfc3339(record.last_used_ns)[:16] if record.last_used_ns else "never used"
    limits = []
    if record.limits.max_spans_per_s is not None:
        limits.append(f"{record.limits.max_spans_per_s:g} spans/s")
    if record.limits.max_concurrent is not None:
        limits.append(f"{record.limits.max_concurrent} at once")
    place = f"{record.id}  {record.role:<9} {record.project:<16} {state:<24} {used:<17}"
    return f"{place} {', '.join(limits) or '-':<22} {record.note}".rstrip()


def _to_json(record: KeyRecord) -> dict[str, object]:
    def stamp(ns: int | None) -> str | None:
        return None if ns is None else ns_to_rfc3339(ns)

    return {
        "id": record.id,
        "project": record.project,
        "role": record.role,
        "note": record.note,
        "max_spans_per_s": record.limits.max_spans_per_s,
        "max_concurrent": record.limits.max_concurrent,
        "replaced_by": record.replaced_by,
        "created_at": stamp(record.created_ns),
        "expires_at": stamp(record.expires_ns),
        "revoked_at": stamp(record.revoked_ns),
        "last_used_at": stamp(record.last_used_ns),
    }
