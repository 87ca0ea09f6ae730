"""``custodes models fetch``: the one command that gets a model over a network."""

from __future__ import annotations

import click

from custodes.kernel.errors import ConfigurationError
from custodes.kernel.settings import load_settings
from detectors.errors import DetectorError


@click.command()
@click.argument("name")
def fetch(name: str) -> None:
    """Download a known model and import it as the bundle NAME; docs/full-profile.md lists them.

    Only with CUSTODES_MODELS__OFFLINE=false. Scoring never uses the network.
    """
    settings = load_settings()
    if settings.models.offline:
        raise ConfigurationError(
            "CUSTODES_MODELS__OFFLINE is true, so no hub is asked: set it to false for this command, or bring the "
            f"folder here and run: custodes models import {name}"
        )
    # Here and not above: the command line starts without torch.
    from detectors.full.fetch import fetch_bundle  # noqa: PLC0415

    try:
        bundle = fetch_bundle(name, settings.models_dir or settings.default_models_dir)
    except DetectorError as error:
        raise ConfigurationError(str(error)) from error
    click.echo(f"{bundle.name}  {bundle.digest}  {len(bundle.files)} files")
