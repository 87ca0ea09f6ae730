"""``custodes doctor``: what is wrong, and what to do."""

from __future__ import annotations

import dataclasses
import json

import click

from custodes.kernel.settings import load_settings
from custodes.runtime.doctor import examine

_SIGNS = {"ok": "ok      ", "warning": "warning ", "problem": "PROBLEM "}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def doctor(as_json: bool) -> None:
    """Look at packages, disk, database, keys, models, server, exporters and clock; exit 1 when there is a problem."""
    problems = 0
    for finding in examine(load_settings()):
        problems += finding.level == "problem"
        if as_json:
            click.echo(json.dumps(dataclasses.asdict(finding)))
            continue
        click.echo(f"{_SIGNS[finding.level]} {finding.subject}: {finding.text}")
        for remedy in finding.advice.splitlines():
            click.echo(f"          → {remedy}")
    if problems:
        raise click.exceptions.Exit(1)
