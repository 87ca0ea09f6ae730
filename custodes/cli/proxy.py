"""``custodes proxy``: capture the traffic of applications that nobody can touch."""

from __future__ import annotations

import importlib.util

import click

from custodes.cli.run import configured
from custodes.kernel.errors import ConfigurationError


@click.command()
@click.option("--upstream", required=True, metavar="URL", help="The OpenAI-compatible server behind the proxy.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=4319, show_default=True, type=click.IntRange(0, 65535), help="TCP port; 0 is any.")
@click.option(
    "--endpoint",
    default="http://127.0.0.1:4318",
    show_default=True,
    envvar="CUSTODES_SDK_ENDPOINT",
    help="The Custodes server.",
)
@click.option("--key", envvar="CUSTODES_SDK_KEY", help="An ingester key for it; better CUSTODES_SDK_KEY than here.")
@click.option(
    "--service", default="proxy", show_default=True, envvar="CUSTODES_SDK_SERVICE", help="Name of the service."
)
@click.option("--deployment", envvar="CUSTODES_SDK_DEPLOYMENT", help="Name of the deployment; else the model's.")
@click.option("--environment", envvar="CUSTODES_SDK_ENVIRONMENT", help="For example prod.")
@click.option("--provider", help="The provider's name; else told from the upstream's host.")
@click.option("--capture-text/--no-capture-text", default=True, show_default=True, help="Send prompts and responses.")
@click.option(
    "--max-body-bytes",
    default=8 * 1024 * 1024,
    show_default=True,
    type=click.IntRange(1024),
    help="Larger bodies pass without being captured.",
)
@click.option(
    "--timeout", "timeout_s", default=600.0, show_default=True, type=click.FloatRange(1), help="Seconds of silence."
)
@click.option(
    "--grace", "grace_s", default=30.0, show_default=True, type=click.FloatRange(1), help="Seconds to end open calls."
)
def proxy(
    upstream: str,
    host: str,
    port: int,
    endpoint: str,
    key: str | None,
    service: str,
    deployment: str | None,
    environment: str | None,
    provider: str | None,
    capture_text: bool,
    max_body_bytes: int,
    timeout_s: float,
    grace_s: float,
) -> None:
    """Pass calls on to an OpenAI-compatible server and send what passes to Custodes.

    Point the application's base URL here. Streams pass unchanged and at once; when Custodes is away, traffic goes on.
    """
    configured()
    if importlib.util.find_spec("custodes_sdk") is None:
        raise ConfigurationError("custodes proxy needs the SDK; install it with: pip install 'custodes[proxy]'")
    from custodes.runtime.proxy.serve import ProxyOptions, run_proxy  # noqa: PLC0415 # Needs the extra.

    def announce(address: str) -> None:
        click.echo(f"Calls to {address} go to {upstream}; what passes goes to {endpoint}.")

    options = ProxyOptions(
        upstream=upstream,
        host=host,
        port=port,
        endpoint=endpoint,
        key=key,
        service=service,
        deployment=deployment,
        environment=environment,
        provider=provider,
        capture_text=capture_text,
        max_body_bytes=max_body_bytes,
        timeout_s=timeout_s,
        grace_s=grace_s,
    )
    run_proxy(options, announce)
