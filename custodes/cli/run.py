"""``up``, ``serve``, ``work`` and ``console``: processes that run until a signal ends them."""

from __future__ import annotations

import click

from custodes.kernel.logs import configure_logging
from custodes.kernel.settings import Settings, load_settings
from custodes.runtime.app import App
from custodes.runtime.console import run_console
from custodes.runtime.serve import run_server, run_worker


def configured(**overrides: object) -> Settings:
    """Return the settings and set up logging by them."""
    settings = load_settings(**overrides)
    configure_logging(settings.log.level, json_lines=settings.log.json_lines)
    return settings


@click.command()
@click.option("--dev", is_flag=True, help="Callers from loopback need no key and hold every role.")
@click.option("--no-console", is_flag=True, help="Do not start the console.")
def up(dev: bool, no_console: bool) -> None:
    """Run the API, a worker, the scheduler and the console together; Ctrl-C stops all."""
    settings = configured(**({"dev": True} if dev else {}))
    run_server(settings, work=True, console=not no_console, announce=lambda app: announce(app, not no_console))


@click.command()
@click.option("--dev", is_flag=True, help="Callers from loopback need no key and hold every role.")
def serve(dev: bool) -> None:
    """Run the API: takes traffic and answers the console. Scoring needs ``custodes work`` beside it."""
    settings = configured(**({"dev": True} if dev else {}))
    run_server(settings, work=False, console=False, announce=lambda app: announce(app, False))


@click.command()
def work() -> None:
    """Run a worker: scores traffic, evaluates policies, delivers webhooks, signs the audit log."""
    run_worker(configured())


@click.command()
@click.option("--exit-with-parent", is_flag=True, hidden=True)
def console(exit_with_parent: bool) -> None:
    """Run the console; it finds the API by CUSTODES_HTTP__HOST and CUSTODES_HTTP__PORT."""
    run_console(configured(), exit_with_parent=exit_with_parent)


def announce(app: App, console_runs: bool) -> None:
    """Say where everything is, once it answers."""
    settings = app.settings
    click.echo(f"Custodes takes OTLP at   {settings.api_url}/v1/traces")
    if app.grpc is not None:
        click.echo(f"and OTLP over gRPC at    {settings.grpc_url(app.grpc.port)}")
    click.echo(f"Its API is at            {settings.api_url}/api/v1 (health: /healthz, /readyz; metrics: /metrics)")
    if console_runs:
        click.echo(f"Open the console at      {settings.console_url}")
    if settings.dev:
        click.echo("Development mode: callers from this machine need no key and may do everything.")
    if app.first_admin_key is not None:
        click.echo(f"First admin key (shown once, keep it safe): {app.first_admin_key}")
