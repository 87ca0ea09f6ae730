"""``custodes audit``: the tamper-evident log. ``verify`` needs neither server nor database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from custodes.cli.database import open_configured
from custodes.kernel.clock import rfc3339_to_ns, system_clock
from custodes.kernel.settings import load_settings
from custodes.runtime.auditing import open_audit_log
from policies.audit import reading
from policies.audit.bundle_files import Code
from policies.audit.export import export_bundle
from policies.audit.verify import verify_bundle

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def audit() -> None:
    """The audit log: signed checkpoints, proofs, export and offline verification."""


@audit.command()
@_JSON
def checkpoint(as_json: bool) -> None:
    """Sign what was logged so far and print the checkpoint; keep it to compare with later ones."""
    log = open_audit_log(load_settings(), open_configured(), system_clock)
    latest = log.verify_state(every_leaf=False)
    latest = log.flush() or latest
    if as_json:
        click.echo(json.dumps(reading.checkpoint_to_object(latest, log.key.verifier)))
        return
    click.echo(latest.note, nl=False)
    click.echo(f"key: {log.key.verifier.to_text()}", err=True)


@audit.command()
@click.argument("seq", type=click.IntRange(min=0))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the proof here.")
def prove(seq: int, out: Path | None) -> None:
    """Print the proof (C2SP tlog-proof) that leaf SEQ is under the latest checkpoint."""
    with open_configured().read() as tx:
        text = reading.prove(tx, seq).to_text()
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text, "utf-8")


@audit.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="New or empty folder.")
@click.option("--from", "from_", metavar="TIME", help="Include entries from this RFC 3339 time on.")
@click.option("--to", metavar="TIME", help="Include entries before this RFC 3339 time.")
def export(out: Path, from_: str | None, to: str | None) -> None:
    """Write the log to a folder that anyone can verify offline."""
    database = open_configured()
    log = open_audit_log(load_settings(), database, system_clock)
    key = log.key
    log.verify_state(every_leaf=False)
    log.flush()
    with database.read() as tx:
        done = export_bundle(
            tx, out, key, now_ns=system_clock(), from_ns=_time(from_, "--from"), to_ns=_time(to, "--to")
        )
    click.echo(f"{done.end - done.first} of {done.checkpoint.size} entries in {done.files} files at {out}")
    click.echo("verify it with:")
    click.echo(f"  custodes audit verify {out} --origin {key.origin} --key '{key.verifier.to_text()}'")


class _VerifyCommand(click.Command):
    """Wrong usage must not read as a verdict: Click's exit code 2 means "tampered" here, so it becomes 5."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            error.show()
            raise click.exceptions.Exit(int(Code.UNVERIFIABLE)) from error


@audit.command(cls=_VerifyCommand)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--origin", required=True, help="The log's origin, from your own records.")
@click.option("--key", required=True, help="The log's verifier key, from your own records.")
@click.option("--witness", multiple=True, help="Verifier key of a witness that must have cosigned; repeatable.")
@click.option("--since", type=click.Path(path_type=Path), help="A checkpoint you kept; the bundle must extend it.")
@_JSON
def verify(directory: Path, origin: str, key: str, witness: tuple[str, ...], since: Path | None, as_json: bool) -> None:
    """Check an exported folder offline.

    Exit codes: 0 intact, 2 tampered, 3 forked, 4 truncated or stale, 5 unverifiable.
    """
    verdict = verify_bundle(directory, origin, key, witness, since)
    if as_json:
        facts = {"code": int(verdict.code), "message": verdict.message, "details": dict(verdict.details)}
        click.echo(json.dumps(facts))
    else:
        click.echo(verdict.message)
    raise click.exceptions.Exit(int(verdict.code))


def _time(text: str | None, option: str) -> int | None:
    try:
        return None if text is None else rfc3339_to_ns(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error
