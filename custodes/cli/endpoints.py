"""``custodes endpoint``: where messages go."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from collector.rest.endpoint_json import endpoint_to_json, message_to_json, trial_to_json
from custodes.cli.database import open_configured, open_secret_box
from custodes.cli.keys import local_actor
from custodes.kernel.clock import ns_to_rfc3339, system_clock
from custodes.kernel.settings import load_settings
from custodes.runtime.tasks import make_sender
from policies.actors import Actor
from policies.dead_letters import discard_dead_letters, replay_dead_letters, try_endpoint
from policies.endpoints import (
    EndpointChange,
    EndpointSpec,
    Scheme,
    change_endpoint,
    create_endpoint,
    list_project_endpoints,
    remove_endpoint,
    require_endpoint,
    rotate_signing_key,
)
from policies.hooks.breaker import breaker_rules
from policies.hooks.channels import CHANNELS, KINDS
from policies.hooks.store import count_messages, list_attempts, list_deliveries
from policies.rules.duration import parse_duration

_project = click.option("--project", default="default", show_default=True, help="Project the endpoint is for.")
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_scheme = click.option("--signing", type=click.Choice(["v1", "v1a"]), help="Signatures by HMAC (v1) or Ed25519 (v1a).")


@click.group()
def endpoint() -> None:
    """Endpoints that policies name in their actions: webhooks, chat, paging, mail."""


@endpoint.command()
@click.argument("name")
@click.argument("url", required=False)
@click.option("--kind", type=click.Choice(KINDS), help="What receives there; webhook unless the endpoint exists.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="An option of the kind; repeatable.")
@click.option("--secret", "secrets", multiple=True, metavar="NAME", help="A secret of the kind, asked for; repeatable.")
@click.option(
    "--secret-file", "files", multiple=True, metavar="NAME=PATH", help="A secret read from a file; repeatable."
)
@_scheme
@_project
def add(
    name: str,
    url: str | None,
    kind: str | None,
    options: tuple[str, ...],
    secrets: tuple[str, ...],
    files: tuple[str, ...],
    signing: Scheme | None,
    project: str,
) -> None:
    """Register URL as NAME, or change the endpoint NAME and enable it.

    Prints the signing secret of a new endpoint that signs its messages; it is not shown again. "custodes endpoint
    kinds" lists the kinds with their options and secrets. Secrets are asked for, or read from a file: on the command
    line everybody on this machine could see them. Write "-" for URL to be asked for an address that is a secret.
    """
    database = open_configured()
    given = {one: _ask(one) for one in secrets}
    given.update((key, Path(path).read_text(encoding="utf-8").strip()) for key, path in _pairs("--secret-file", files))
    known = {one.id: one for one in list_project_endpoints(database, project)}.get(name)
    spec = EndpointSpec(
        kind or (known.kind if known else "webhook"),
        _ask("address") if url == "-" else url,
        dict(_pairs("--option", options)),
        given,
        scheme=signing or "v1",
    )
    box, actor, now_ns = open_secret_box(database), _actor(), system_clock()
    if known is None:
        change = create_endpoint(database, box, project, name, spec, actor, now_ns)
    else:
        change = change_endpoint(database, box, project, name, spec, actor, now_ns)
    _show_change(change)


@endpoint.command("kinds")
def kinds_command() -> None:
    """List the kinds of endpoints with their options and secrets."""
    for channel in CHANNELS.values():
        click.echo(f"{channel.kind:<13} {channel.title}")
        for setting in channel.settings:
            need = ", needed" if setting.required else ""
            word = "secret" if setting.secret else "option"
            click.echo(f"    {setting.name:<14} {word}{need}: {setting.description}")


@endpoint.command("list")
@_project
@_as_json
def list_command(project: str, as_json: bool) -> None:
    """List the endpoints of a project with their breakers and what waits or was given up."""
    database, now_ns = open_configured(), system_clock()
    rows = list_project_endpoints(database, project)
    with database.read() as tx:
        counts = count_messages(tx, project)
    for row in rows:
        waiting = counts.get(row.id, {})
        if as_json:
            click.echo(json.dumps(endpoint_to_json(row, waiting, now_ns)))
            continue
        state = row.state if row.state == "disabled" else {"closed": "active"}.get(row.breaker.state(now_ns), "resting")
        figures = f"{waiting.get('pending', 0)} pending, {waiting.get('dead', 0)} dead"
        click.echo(f"{row.id:<20} {row.kind:<12} {state:<9} {figures:<22} {row.url}")
    if not rows and not as_json:
        click.echo("no endpoints yet; add one with: custodes endpoint add NAME URL")


@endpoint.command()
@click.argument("name")
@click.option("--overlap", default="24h", show_default=True, metavar="DURATION", help="How long both keys sign.")
@_scheme
@_project
def rotate(name: str, overlap: str, signing: Scheme | None, project: str) -> None:
    """Give NAME a new signing key and print it; until the overlap ends, messages carry the signatures of both."""
    try:
        overlap_ns = parse_duration(overlap)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--overlap") from error
    database, now_ns = open_configured(), system_clock()
    change = rotate_signing_key(
        database, open_secret_box(database), project, name, overlap_ns, _actor(), now_ns, scheme=signing
    )
    _show_change(change)
    until_ns = change.endpoint.previous_until_ns
    if until_ns is not None:
        click.echo(f"the old key signs too until {ns_to_rfc3339(until_ns)}", err=True)


@endpoint.command()
@click.argument("name")
@_project
@_as_json
def test(name: str, project: str, as_json: bool) -> None:
    """Send a test message to NAME now; exits 1 when it is not accepted."""
    database, settings = open_configured(), load_settings()
    sender = make_sender(settings.webhook, open_secret_box(database))
    trial = try_endpoint(
        database,
        sender,
        project,
        name,
        _actor(),
        system_clock(),
        console_url=settings.console_url,
        rules=breaker_rules(settings.webhook),
    )
    if as_json:
        click.echo(json.dumps(trial_to_json(trial)))
    else:
        click.echo(f"{'accepted' if trial.delivered else 'not accepted'} in {trial.duration_ms:.0f} ms: {trial.detail}")
    if not trial.delivered:
        raise click.exceptions.Exit(1)


@endpoint.command()
@click.argument("name")
@click.option("--state", type=click.Choice(["pending", "delivered", "dead"]), help="Only messages in this state.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="Most messages shown.")
@_project
@_as_json
def deliveries(name: str, state: str | None, limit: int, project: str, as_json: bool) -> None:
    """List the messages to NAME, newest first."""
    database = open_configured()
    require_endpoint(database, project, name)
    with database.read() as tx:
        found = list_deliveries(tx, project, name, state=state, limit=limit)  # type: ignore[arg-type]
        attempts = list_attempts(tx, [one.id for one in found])
    for one in found:
        if as_json:
            click.echo(json.dumps(message_to_json(one, attempts)))
        else:
            when = ns_to_rfc3339(one.created_ns)[:19]
            click.echo(
                f"{one.id}  {when}  {one.event_type:<20} {one.state:<9} {one.tries:>2}  {one.last_error or ''}".rstrip()
            )


@endpoint.command()
@click.argument("name")
@click.argument("messages", nargs=-1)
@_project
@_as_json
def replay(name: str, messages: tuple[str, ...], project: str, as_json: bool) -> None:
    """Send dead MESSAGES to NAME again, all of them when none is named; they keep their ids."""
    done = replay_dead_letters(open_configured(), project, name, messages or None, _actor(), system_clock())
    if as_json:
        click.echo(json.dumps({"replayed": list(done.replayed), "skipped": dict(done.skipped)}))
        return
    click.echo(f"{len(done.replayed)} messages are sent again")
    for message, reason in done.skipped.items():
        click.echo(f"{message}: left alone, {reason}", err=True)


@endpoint.command()
@click.argument("name")
@click.argument("messages", nargs=-1)
@_project
@_as_json
def discard(name: str, messages: tuple[str, ...], project: str, as_json: bool) -> None:
    """Remove dead MESSAGES to NAME for good, all of them when none is named."""
    done = discard_dead_letters(open_configured(), project, name, messages or None, _actor(), system_clock())
    if as_json:
        click.echo(json.dumps({"discarded": list(done.replayed), "skipped": dict(done.skipped)}))
        return
    click.echo(f"{len(done.replayed)} messages are removed")
    for message, reason in done.skipped.items():
        click.echo(f"{message}: left alone, {reason}", err=True)


@endpoint.command()
@click.argument("name")
@_project
def remove(name: str, project: str) -> None:
    """Remove NAME; messages that still wait for it are given up."""
    remove_endpoint(open_configured(), project, name, _actor(), system_clock())
    click.echo(f"endpoint {name!r} is removed")


def _actor() -> Actor:
    return Actor(local_actor(), "operator")


def _show_change(change: EndpointChange) -> None:
    one = change.endpoint
    if change.is_new_secret and change.secret is not None:
        click.echo(change.secret)
        click.echo("check signatures with the secret above; it is not shown again", err=True)
    for public in change.public_keys:
        click.echo(f"receivers verify with {public}", err=True)
    click.echo(f"endpoint {one.id!r} of kind {one.kind} receives at {one.url}", err=True)


def _ask(name: str) -> str:
    """Return a secret typed without echo, or one line of standard input where that is no terminal."""
    if sys.stdin.isatty():
        typed: str = click.prompt(name, hide_input=True, err=True)
        return typed.strip()
    return sys.stdin.readline().strip()


def _pairs(option: str, given: Iterable[str]) -> Iterable[tuple[str, str]]:
    for one in given:
        name, separator, value = one.partition("=")
        if not separator or not name:
            raise click.BadParameter(f"write NAME=VALUE, not {name[:64]!r}", param_hint=option)
        yield name, value
