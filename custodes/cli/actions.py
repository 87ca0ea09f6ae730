"""``custodes action``: what policies asked for, and what people decide about it at the command line."""

from __future__ import annotations

import json
from typing import Any

import click

from collector.rest.queries.actions import ActionFilter, list_actions, load_chain
from custodes.cli.database import open_configured
from custodes.cli.datasets import read_pair
from custodes.cli.keys import local_actor
from custodes.kernel.clock import system_clock
from custodes.kernel.settings import load_settings
from policies.actions import handling
from policies.actions.action import Action, describe_action
from policies.actions.gates import action_rules_of
from policies.actions.promotion import propose_promotion
from policies.actions.store import list_switches, require_action
from policies.actors import Actor

_PROJECT = click.option("--project", default="default", show_default=True, help="Project to look at.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def action() -> None:
    """Rollbacks and what else policies ask for."""


@action.command("list")
@click.option("--state", default="all", show_default=True, help="A state, open, or all.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="Most rows.")
@_PROJECT
@_JSON
def list_command(state: str, limit: int, project: str, as_json: bool) -> None:
    """List actions, newest first."""
    with open_configured().read() as tx:
        rows, _ = list_actions(tx, project, ActionFilter(state), after=None, limit=limit)
    for row in rows:
        click.echo(json.dumps(row) if as_json else f"{row['id']}  {row['state']:<12} {row['kind']:<9} {_where(row)}")
    if not rows and not as_json:
        click.echo("no actions; policies ask for them under actions")


@action.command()
@click.argument("action_id")
@_PROJECT
@_JSON
def show(action_id: str, project: str, as_json: bool) -> None:
    """Show one action with everything that led to it and came of it."""
    with open_configured().read() as tx:
        found = require_action(tx, project, action_id)
        chain = load_chain(tx, found)
    if as_json:
        click.echo(json.dumps(chain))
        return
    click.echo(f"{describe_action(found)}: {found.state}" + (f" ({found.reason})" if found.reason else ""))
    if chain["decision"] is not None:
        click.echo(f"  decided {chain['decision']['at']}: {chain['decision']['reason']} {chain['decision']['values']}")
    for event in chain["events"]:
        words = event["body"].get("reason") or event["body"].get("comment") or ""
        click.echo(f"  {event['at']}  {event['kind']:<13} {event['actor']:<16} {words}".rstrip())
    click.echo(f"  leaves of the audit log: {', '.join(map(str, chain['audit_seqs'])) or 'none yet'}")


@action.command()
@click.option("--target", multiple=True, required=True, metavar="NAME=VALUE", help="E.g. adapter=mlflow; repeated.")
@click.option("--reason", required=True, help="Why.")
@click.option("--policy", help="The policy whose signals --verify reads.")
@click.option("--verify", "expr", metavar="EXPR", help="What has to hold on the new version's own traffic.")
@click.option("--after", default="0s", show_default=True, help="How long after the change its traffic begins to count.")
@click.option("--within", default="1h", show_default=True, help="How long its traffic is judged at most.")
@click.option("--min-n", default=50, show_default=True, type=click.IntRange(1), help="Fewest values that are judged.")
@_PROJECT
def promote(
    target: tuple[str, ...],
    reason: str,
    policy: str | None,
    expr: str | None,
    after: str,
    within: str,
    min_n: int,
    project: str,
) -> None:
    """Propose that another version serves; somebody else has to agree (custodes action approve)."""
    verify = None if expr is None else {"expr": expr, "after": after, "within": within, "min_n": min_n}
    named = dict(read_pair(one) for one in target)
    place = (open_configured(), project, named, reason, Actor(local_actor(), "operator"), system_clock())
    made, _ = propose_promotion(*place, policy_id=policy, verify=verify)
    click.echo(f"{made.id}: proposed; somebody else approves it with custodes action approve {made.id}")


@action.command()
@click.argument("action_id")
@click.option("--comment", default="", help="Why.")
@_PROJECT
def approve(action_id: str, comment: str, project: str) -> None:
    """Agree to an action of a policy somebody else wrote; it begins at once."""
    rules = action_rules_of(load_settings())
    actor = Actor(local_actor(), "approver")
    change = handling.approve_action(open_configured(), project, action_id, comment, actor, system_clock(), rules)
    _say(change.action)


@action.command()
@click.argument("action_id")
@click.option("--reason", required=True, help="Why.")
@_PROJECT
def refuse(action_id: str, reason: str, project: str) -> None:
    """Turn an action down."""
    actor = Actor(local_actor(), "approver")
    _say(handling.refuse_action(open_configured(), project, action_id, reason, actor, system_clock()).action)


@action.command()
@click.argument("action_id")
@click.option("--reason", required=True, help="Why.")
@_PROJECT
def cancel(action_id: str, reason: str, project: str) -> None:
    """Call an action off that has not been sent."""
    actor = Actor(local_actor(), "operator")
    _say(handling.cancel_action(open_configured(), project, action_id, reason, actor, system_clock()).action)


@action.command()
@click.option("--reason", required=True, help="Why.")
@click.option("--everywhere", is_flag=True, help="In all projects.")
@_PROJECT
def stop(reason: str, everywhere: bool, project: str) -> None:
    """Stop all actions; what was agreed to and not sent is called off."""
    _switch(True, reason, everywhere, project)


@action.command()
@click.option("--reason", required=True, help="Why.")
@click.option("--everywhere", is_flag=True, help="In all projects.")
@_PROJECT
def resume(reason: str, everywhere: bool, project: str) -> None:
    """Let actions begin again."""
    _switch(False, reason, everywhere, project)


@action.command()
@_PROJECT
def status(project: str) -> None:
    """Say whether actions are stopped; exit 1 when they are."""
    with open_configured().read() as tx:
        switches = list_switches(tx, project)
    stopped = [one for one in switches if one.stopped]
    for one in stopped:
        place = "everywhere" if one.project_id == "*" else f"in {one.project_id}"
        click.echo(f"stopped {place} by {one.actor}: {one.reason}")
    if stopped:
        raise click.exceptions.Exit(1)
    click.echo("actions may begin")


def _switch(stopped: bool, reason: str, everywhere: bool, project: str) -> None:
    actor = Actor(local_actor(), "operator")
    handling.set_switch(open_configured(), project, stopped, reason, actor, system_clock(), everywhere=everywhere)
    click.echo("actions are stopped" if stopped else "actions may begin again")


def _say(changed: Action) -> None:
    click.echo(f"{describe_action(changed)}: {changed.state}")


def _where(row: dict[str, Any]) -> str:
    target = " ".join(f"{name}={value}" for name, value in row["target"].items() if name != "adapter")
    versions = f" {row['from_version']} → {row['to_version']}" if row["to_version"] else ""
    return f"{target}{versions}".strip()
