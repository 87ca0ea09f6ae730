"""``custodes score``: score a file of exchanges offline, without server or database."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import click
import orjson

from custodes.kernel.logs import configure_logging
from custodes.kernel.settings import load_settings
from custodes.runtime.models import load_configured_profile
from detectors.errors import ExchangeLineError
from detectors.offline import score_lines


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@click.option("--profile", type=click.Choice(("builtin", "full")), help="Which detectors; default from the settings.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write here rather than to stdout.")
def score(file: Path, profile: str | None, out: Path | None) -> None:
    """Score every exchange of FILE, JSON lines of {"id", "prompt", "response", "contexts", "samples"}.

    Writes one line each, in order. A line that cannot be read is reported on stderr and skipped; the
    exit code is then 1.
    """
    settings = load_settings()
    configure_logging(settings.log.level, json_lines=settings.log.json_lines)
    loaded = load_configured_profile(settings, profile=profile)
    bad = 0
    done = 0
    with ExitStack() as stack:
        stack.callback(loaded.close)
        source: BinaryIO = sys.stdin.buffer if str(file) == "-" else stack.enter_context(file.open("rb"))
        target: BinaryIO = sys.stdout.buffer if out is None else stack.enter_context(out.open("wb"))
        for result in score_lines(source, loaded):
            if isinstance(result, ExchangeLineError):
                bad += 1
                click.echo(f"{file}: {result}", err=True)
                continue
            target.write(orjson.dumps(result) + b"\n")
            done += 1
            if out is not None and done % 500 == 0:
                click.echo(f"{done} exchanges scored", err=True)
    click.echo(f"{done} exchanges scored, {bad} lines skipped", err=True)
    if bad:
        raise click.exceptions.Exit(1)
