"""``custodes demo``: everything, filled and moving, on this machine only."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from custodes.cli.run import announce, configured
from custodes.kernel.clock import system_clock
from custodes.kernel.errors import ConfigurationError
from custodes.kernel.settings import Settings, child_environment, load_settings, settings_to_environment
from custodes.runtime.app import App
from custodes.runtime.demo.receiver import Receiver
from custodes.runtime.demo.registry import Registry, RegistryClient
from custodes.runtime.demo.seed import REFERENCE_EXCHANGES, prepare_demo
from custodes.runtime.demo.verifier import WebhookVerifier
from custodes.runtime.models import check_packages_installed
from custodes.runtime.ports import check_port_free
from custodes.runtime.serve import run_server


@click.command()
@click.option("--days", type=click.IntRange(1, 90), default=2, show_default=True, help="Days of history to seed.")
@click.option("--no-console", is_flag=True, help="Do not start the console.")
@click.option("--mlflow", metavar="URL", help="Roll back in this MLflow server instead of the demo's stand-in.")
def demo(days: int, no_console: bool, mlflow: str | None) -> None:
    """Seed history, then run as ``up --dev`` with live traffic of three example services.

    One of them turns toxic after half a minute: an incident opens, and a webhook arrives at a receiver
    that the demo runs itself. A rollback in the model registry waits for approval; once somebody agrees, it is
    carried out and verified. Another cuts off its answers to one group of users, and the third is asked in another
    language since half of the history, which holds an alarm about each. Data is kept in <data dir>/demo; delete that
    folder to begin afresh.
    """
    check_packages_installed("builtin")
    if find_spec("opentelemetry.sdk") is None:
        raise ConfigurationError("the demo sends traffic by the OpenTelemetry SDK: pip install 'custodes[demo]'")
    registry = None if mlflow else Registry()
    if registry is not None:
        registry.start()
    registry_url = registry.url if registry is not None else str(mlflow)
    RegistryClient(registry_url).prepare()
    verifier = WebhookVerifier(system_clock)
    receiver = Receiver(verifier.verify, lambda text: click.echo(f"demo receiver: {text}"))
    settings = _demo_settings(registry_url, receiver.port)
    check_port_free(settings.http.host, settings.http.port, "CUSTODES_HTTP__PORT")
    if settings.grpc.enabled:
        check_port_free(settings.grpc_host, settings.grpc.port, "CUSTODES_GRPC__PORT")
    if not no_console:
        check_port_free(settings.console.host, settings.console.port, "CUSTODES_CONSOLE__PORT")
    receiver.start()
    prepare_demo(
        settings,
        days=days,
        now_ns=system_clock(),
        receiver_url=receiver.url,
        verifier=verifier,
        progress=click.echo,
    )
    verifier.clock = system_clock
    children: list[subprocess.Popen[bytes]] = []

    def begin(app: App) -> None:
        announce(app, not no_console)
        click.echo("Example traffic runs. In about a minute support-bot turns toxic and an incident opens.")
        click.echo("A rollback then waits under Approvals; agree, and see under Actions whether it helped.")
        command = [sys.executable, "-m", "custodes.runtime.demo.simulator", app.settings.api_url, registry_url]
        children.append(
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, env=child_environment(settings_to_environment(app.settings))
            )
        )

    def end() -> None:
        while children:
            child = children.pop()
            child.terminate()
            try:
                child.wait(timeout=5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    try:
        run_server(settings, work=True, console=not no_console, announce=begin, farewell=end)
    finally:
        end()
        receiver.stop()
        if registry is not None:
            registry.stop()


def _demo_settings(registry_url: str, receiver_port: int) -> Settings:
    """Return the settings with what the demo needs: its own folder, dev mode, loopback webhooks, quick evaluation."""
    folder: Path = load_settings().data_dir / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    connections = folder / "connections.yaml"
    connections.write_text(f"connections:\n  mlflow: {{adapter: mlflow, url: {registry_url!r}}}\n", encoding="utf-8")
    loopback = {"allowed_private_cidrs": ["127.0.0.0/8"], "allow_http": True}
    return configured(
        dev=True,
        data_dir=folder,
        policy={"interval_s": 3.0},
        drift={"reference_exchanges": REFERENCE_EXCHANGES},
        webhook={**loopback, "allowed_ports": [receiver_port]},
        action={**loopback, "connections_file": connections, "poll_s": 1.0},
    )
