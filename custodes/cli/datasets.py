"""``custodes dataset``: reviewed exchanges for fine-tuning, and the training runs people ask for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from collector.content import open_contents
from collector.datasets.export import export_dataset, read_holdout
from collector.datasets.formats import FORMATS, Format
from collector.datasets.selection import Caps
from collector.datasets.store import Selection, list_datasets
from collector.rest.datasets import require_dataset
from collector.rest.parameters import parse_time
from custodes.cli.database import open_configured
from custodes.cli.keys import local_actor
from custodes.kernel.clock import system_clock
from custodes.kernel.errors import InvalidInputError
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import load_settings
from policies.actions.proposals import propose_training
from policies.actors import Actor
from recognisers import RECOGNISERS

_PROJECT = click.option("--project", default="default", show_default=True, help="Project to take from.")
_KINDS = sorted({one.kind for one in RECOGNISERS})


@click.group()
def dataset() -> None:
    """Reviewed exchanges for fine-tuning."""


@dataset.command()
@click.option("--incident", help="Take the traffic of this incident.")
@click.option("--policy", help="Take the traffic of every incident of this policy.")
@click.option("--query", default="", help="Take by metric=M min=0.5 service=S deployment=D from=T to=T, some of them.")
@click.option("--format", "wanted", required=True, type=click.Choice(FORMATS), help="The shape of a row.")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="A new folder.")
@click.option("--redact", multiple=True, type=click.Choice(_KINDS), help="Mask values of this kind; may be repeated.")
@click.option(
    "--holdout",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSONL whose prompts must not be trained on; may be repeated.",
)
@click.option("--per-source", default=1000, show_default=True, type=click.IntRange(1), help="Most rows of one source.")
@click.option("--per-user", default=50, show_default=True, type=click.IntRange(1), help="Most rows of one user.")
@_PROJECT
def export(
    incident: str | None,
    policy: str | None,
    query: str,
    wanted: Format,
    out: Path,
    redact: tuple[str, ...],
    holdout: tuple[Path, ...],
    per_source: int,
    per_user: int,
    project: str,
) -> None:
    """Write reviewed exchanges, lineage and manifest into a new folder."""
    database, now_ns = open_configured(), system_clock()
    contents = open_contents(database, load_settings(), Metrics(), system_clock)
    made = export_dataset(
        database,
        contents,
        project,
        read_query(query, incident, policy, now_ns),
        wanted,
        out,
        Actor(local_actor(), "operator"),
        now_ns,
        caps=Caps(per_source, per_user),
        redact=redact,
        holdouts=[read_holdout(path) for path in holdout],
    )
    click.echo(f"{made.id}: {made.manifest['rows']} rows in {made.folder}, sha256 {made.manifest['sha256']}")
    for reason, n in made.manifest["dropped"].items():
        click.echo(f"  left out: {n} {reason}", err=True)


@dataset.command("list")
@_PROJECT
@click.option("--json", "as_json", is_flag=True, help="Print the manifests as JSON, one a line.")
def list_command(project: str, as_json: bool) -> None:
    """List data sets, newest first."""
    with open_configured().read() as tx:
        found = list_datasets(tx, project)
    for one in found:
        line = f"{one['id']}  {one['created_at']}  {one['format']:<22} {one['rows']:>7} rows  {one['author']}"
        line += "  stale" if one["stale"] else ""
        click.echo(json.dumps(one) if as_json else line)
    if not found and not as_json:
        click.echo("no data sets yet; see custodes dataset export")


@dataset.command()
@click.argument("dataset_id")
@_PROJECT
def show(dataset_id: str, project: str) -> None:
    """Print the manifest of a data set with what has happened to it since, as JSON; exits 1 when it is stale."""
    with open_configured().read() as tx:
        found = require_dataset(tx, project, dataset_id)
    click.echo(json.dumps(found, indent=2))
    if found["stale"]:
        sys.exit(1)


@dataset.command()
@click.argument("dataset_id")
@click.option("--target", multiple=True, required=True, metavar="NAME=VALUE", help="E.g. adapter=github; repeated.")
@_PROJECT
def train(dataset_id: str, target: tuple[str, ...], project: str) -> None:
    """Propose a training run; somebody else has to agree (custodes action approve)."""
    named = dict(read_pair(one) for one in target)
    database = open_configured()
    with database.read() as tx:
        found = require_dataset(tx, project, dataset_id)
    facts = {name: str(found[name]) for name in ("id", "sha256", "format")}
    made, _ = propose_training(database, project, facts, named, Actor(local_actor(), "operator"), system_clock())
    click.echo(f"{made.id}: proposed; somebody else approves it with custodes action approve {made.id}")


def read_query(text: str, incident: str | None, policy: str | None, now_ns: int) -> Selection:
    """Return the selection that options and a query such as ``metric=toxicity min=0.5`` name."""
    given = dict(read_pair(part) for part in text.split())
    unknown = given.keys() - {"metric", "min", "service", "deployment", "from", "to"}
    if unknown:
        raise InvalidInputError(f"--query knows metric, min, service, deployment, from, to, not {sorted(unknown)[0]!r}")
    try:
        least = float(given["min"]) if "min" in given else None
    except ValueError as error:
        raise InvalidInputError(f"--query: min is a number, not {given['min']!r}") from error
    return Selection(
        incident=incident,
        policy=policy,
        metric=given.get("metric"),
        min_score=least,
        service=given.get("service"),
        deployment=given.get("deployment"),
        from_ns=parse_time("from", given["from"], now_ns) if "from" in given else None,
        to_ns=parse_time("to", given["to"], now_ns) if "to" in given else None,
    )


def read_pair(text: str) -> tuple[str, str]:
    """Return name and value of ``NAME=VALUE``; raise ``InvalidInputError`` for anything else."""
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise InvalidInputError(f"write NAME=VALUE, not {text[:64]!r}")
    return name, value
