"""``custodes project``: projects."""

from __future__ import annotations

import json

import click

from collector.auth.store_projects import create_project, list_projects
from custodes.cli.database import open_configured
from custodes.cli.keys import local_actor
from custodes.kernel.clock import ns_to_rfc3339, system_clock


@click.group()
def project() -> None:
    """Projects: whose traffic, keys, policies and prices are kept apart."""


@project.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def create(name: str, as_json: bool) -> None:
    """Create the project NAME: 1 to 64 of a-z, 0-9, '-', '_' and '.'."""
    now_ns = system_clock()
    with open_configured().write() as tx:
        create_project(tx, name, actor=local_actor(), actor_role="operator", now_ns=now_ns)
    if as_json:
        click.echo(json.dumps({"id": name, "created_at": ns_to_rfc3339(now_ns)}))
    else:
        click.echo(f"project {name} is created; give it keys with: custodes key create --project {name} --role ROLE")


@project.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def list_command(as_json: bool) -> None:
    """List the projects by name."""
    with open_configured().read() as tx:
        found = list_projects(tx)
    for one in found:
        created = ns_to_rfc3339(one.created_ns)
        click.echo(json.dumps({"id": one.id, "created_at": created}) if as_json else f"{one.id:<32} {created[:16]}")
