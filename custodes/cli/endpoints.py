"""``custodes endpoint``: where webhooks go."""

from __future__ import annotations

import click

from custodes.cli.database import open_configured
from custodes.cli.keys import local_actor
from custodes.kernel.clock import system_clock
from policies.actors import Actor
from policies.endpoints import list_project_endpoints, put_endpoint


@click.group()
def endpoint() -> None:
    """Webhook endpoints that policies name in their actions."""


@endpoint.command()
@click.argument("name")
@click.argument("url")
@click.option("--project", default="default", show_default=True, help="Project the endpoint is for.")
def add(name: str, url: str, project: str) -> None:
    """Register URL as NAME and print its signing secret, which is not shown again."""
    change = put_endpoint(
        open_configured(),
        project_id=project,
        endpoint_id=name,
        url=url,
        secret=None,
        actor=Actor(local_actor(), "operator"),
        now_ns=system_clock(),
    )
    click.echo(change.endpoint.secret)
    click.echo(f"endpoint {name!r} receives webhooks at {url}; check signatures with the secret above", err=True)


@endpoint.command("list")
@click.option("--project", default="default", show_default=True, help="Project to list.")
def list_command(project: str) -> None:
    """List the endpoints of a project."""
    rows = list_project_endpoints(open_configured(), project)
    for row in rows:
        click.echo(f"{row.id:<20} {row.state:<9} {row.url}")
    if not rows:
        click.echo("no endpoints yet; add one with: custodes endpoint add NAME URL")
