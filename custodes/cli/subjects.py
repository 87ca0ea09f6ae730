"""``custodes subject``: what people whose text is kept may ask for."""

from __future__ import annotations

import json
import sys

import click

from collector.content import open_contents
from collector.erasure import erase_subject
from custodes.cli.database import open_configured
from custodes.cli.keys import local_actor
from custodes.kernel.clock import system_clock
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import load_settings
from policies.actors import Actor


@click.group()
def subject() -> None:
    """People whose text is kept."""


@subject.command()
@click.argument("user")
@click.option(
    "--reason", required=True, help="Why, in 10 characters or more; it stays in the audit log. Name a ticket."
)
@click.option("--project", default="default", show_default=True, help="Project to erase in.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def erase(user: str, reason: str, project: str, as_json: bool) -> None:
    """Destroy the keys of everything the user USER said, and name the copies that remain.

    It cannot be undone. USER is the id their spans carry. Exits 1 when text of theirs remains readable, or data sets
    that were exported hold copies.
    """
    database = open_configured()
    contents = open_contents(database, load_settings(), Metrics(), system_clock)
    made = erase_subject(database, contents, project, user, reason, Actor(local_actor(), "operator"), system_clock())
    if as_json:
        click.echo(json.dumps(made.to_json()))
    else:
        click.echo(
            f"{made.keys} keys destroyed; {made.exchanges} exchanges name this user; on record as {made.subject}"
        )
        if made.readable:
            click.echo(f"  {made.readable} of them are kept under no key of theirs and can still be read", err=True)
        for dataset_id, rows in made.datasets.items():
            click.echo(
                f"  data set {dataset_id} holds {rows} rows of theirs: delete its copies; nobody trains on it now"
            )
        for action_id in made.withdrawn:
            click.echo(f"  training {action_id} was called off")
        for action_id in made.trained:
            click.echo(f"  training {action_id} was sent before: what it made has seen this text")
    if made.readable or made.datasets:
        sys.exit(1)
