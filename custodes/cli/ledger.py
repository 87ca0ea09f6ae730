"""``custodes ledger``: what became of everything that arrived."""

from __future__ import annotations

import json

import click

from collector.auth.store_projects import require_project
from collector.rest.parameters import parse_time
from collector.rest.queries.ledger import LedgerTotals, load_ledger
from custodes.cli.database import open_configured
from custodes.kernel.clock import system_clock


@click.command()
@click.option("--project", default="default", show_default=True, help="Project whose ledger is shown.")
@click.option("--from", "start", metavar="TIME", help="First minute: RFC 3339, or e.g. now-1h; else from the start.")
@click.option("--to", "end", metavar="TIME", help="End, exclusive: RFC 3339 or now.")
@click.option("--service", help="Only this service.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def ledger(project: str, start: str | None, end: str | None, service: str | None, as_json: bool) -> None:
    """Show what became of every span and exchange that arrived."""
    now_ns = system_clock()
    from_ns = None if start is None else parse_time("from", start, now_ns)
    to_ns = None if end is None else parse_time("to", end, now_ns)
    with open_configured().read() as tx:
        require_project(tx, project)
        totals = load_ledger(tx, project, from_ns=from_ns, to_ns=to_ns, service=service)
    if as_json:
        click.echo(json.dumps(totals.to_json()))
        return
    for line in _to_lines(totals):
        click.echo(line)


def _to_lines(totals: LedgerTotals) -> list[str]:
    counts = totals.counts
    lines = [f"received       {counts['received']:>12,}"]
    lines += [f"  {kind:<12} {counts[kind]:>12,}" for kind in ("stored", "duplicates", "rejected")]
    lines += [f"    {reason:<24} {n:>12,}" for reason, n in sorted(totals.rejected.items()) if n]
    lines.append(f"exchanges      {counts['exchanges']:>12,}")
    lines.append(f"  {'assessed':<12} {counts['assessed']:>12,}")
    lines.append(f"  {'not assessed':<12} {counts['not_assessed']:>12,}")
    lines += [f"    {reason:<24} {n:>12,}" for reason, n in sorted(totals.not_assessed.items()) if n]
    lines.append(f"  {'pending':<12} {totals.pending:>12,}")
    return lines
