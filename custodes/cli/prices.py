"""``custodes price``: what tokens cost."""

from __future__ import annotations

import json
from pathlib import Path

import click

from collector.price_files import load_default_prices, parse_prices, read_day
from collector.price_rows import Price
from collector.store_prices import list_prices, put_prices, remove_prices
from custodes.cli.database import open_configured
from custodes.cli.keys import local_actor
from custodes.kernel.clock import ns_to_rfc3339, system_clock

_PROJECT = click.option("--project", default="default", show_default=True, help="Project whose prices are meant.")
_PROVIDER = click.option("--provider", default="", help="Only calls to this provider; without it, to any.")


@click.group()
def price() -> None:
    """Prices of models in USD per million tokens, for calls that arrive without their cost."""


@price.command("list")
@_PROJECT
@click.option("--defaults", is_flag=True, help="Show the list prices that travel with Custodes as well.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def list_command(project: str, defaults: bool, as_json: bool) -> None:
    """List the project's own prices."""
    with open_configured().read() as tx:
        rows = [("project", one) for one in list_prices(tx, project)]
    if defaults:
        rows += [("default", one) for one in load_default_prices()]
    for origin, one in rows:
        click.echo(json.dumps(_to_json(one, origin)) if as_json else _to_line(one, origin))
    if not rows and not as_json:
        click.echo(f"project {project!r} has no prices of its own; --defaults shows the list prices in force")


@price.command("set")
@click.argument("model")
@click.option("--input", "input_usd", type=float, required=True, metavar="USD", help="Per million input tokens.")
@click.option("--output", "output_usd", type=float, required=True, metavar="USD", help="Per million output tokens.")
@click.option("--cached-input", type=float, metavar="USD", help="Per million input tokens read from the cache.")
@click.option("--from", "valid_from", default="", metavar="DAY", help="From this day or RFC 3339 time on.")
@click.option("--source", default="", help="Who quotes the price, e.g. a contract.")
@click.option("--as-of", default="", metavar="DAY", help="On which day, e.g. 2026-11-21.")
@_PROVIDER
@_PROJECT
def set_command(
    model: str,
    input_usd: float,
    output_usd: float,
    cached_input: float | None,
    valid_from: str,
    source: str,
    as_of: str,
    provider: str,
    project: str,
) -> None:
    """Set the price of MODEL, a name or the beginning of one with a * at its end."""
    wanted = Price(
        model=model,
        provider=provider,
        input_usd_per_mtok=input_usd,
        output_usd_per_mtok=output_usd,
        cached_input_usd_per_mtok=cached_input,
        valid_from_ns=read_day(valid_from),
        source=source,
        as_of=as_of,
    )
    with open_configured().write() as tx:
        put_prices(tx, project, [wanted], actor=local_actor(), actor_role="operator", now_ns=system_clock())
    click.echo(f"{wanted.model}: {input_usd:g} USD in, {output_usd:g} USD out per million tokens, within 10 s")


@price.command()
@click.argument("model")
@click.option("--from", "valid_from", metavar="DAY", help="Only the price from this day on; else those of all times.")
@_PROVIDER
@_PROJECT
def remove(model: str, valid_from: str | None, provider: str, project: str) -> None:
    """Remove the project's own price of MODEL; a list price behind it is in force again."""
    at_ns = None if valid_from is None else read_day(valid_from)
    who = {"actor": local_actor(), "actor_role": "operator"}
    with open_configured().write() as tx:
        removed, _ = remove_prices(
            tx, project, provider=provider, model=model, valid_from_ns=at_ns, **who, now_ns=system_clock()
        )
    click.echo(f"removed {removed} price{'' if removed == 1 else 's'} of {model}")


@price.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_PROJECT
def import_command(file: Path, project: str) -> None:
    """Set every price in FILE, .csv or .json; all of them or, when one is wrong, none."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{file} is not UTF-8 text") from error
    prices = parse_prices(text, file.name)
    if not prices:
        raise click.ClickException(f"{file} holds no prices")
    with open_configured().write() as tx:
        put_prices(tx, project, prices, actor=local_actor(), actor_role="operator", now_ns=system_clock())
    click.echo(f"set {len(prices)} prices of project {project!r}")


def _to_line(one: Price, origin: str) -> str:
    cached = "-" if one.cached_input_usd_per_mtok is None else f"{one.cached_input_usd_per_mtok:g}"
    since = ns_to_rfc3339(one.valid_from_ns)[:10] if one.valid_from_ns else "always"
    figures = f"{one.input_usd_per_mtok:>9g} {cached:>9} {one.output_usd_per_mtok:>9g}"
    return f"{origin:<8} {one.provider or 'any':<12} {one.model:<36} {figures}  {since:<10} {one.source} {one.as_of}"


def _to_json(one: Price, origin: str) -> dict[str, object]:
    return {
        "origin": origin,
        "provider": one.provider,
        "model": one.model,
        "input_usd_per_mtok": one.input_usd_per_mtok,
        "output_usd_per_mtok": one.output_usd_per_mtok,
        "cached_input_usd_per_mtok": one.cached_input_usd_per_mtok,
        "valid_from": ns_to_rfc3339(one.valid_from_ns) if one.valid_from_ns else None,
        "source": one.source,
        "as_of": one.as_of or None,
    }
