"""``custodes models``: local model bundles, pinned by digest; only ``fetch`` ever makes a connection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
import orjson

from custodes.cli.models_fetch import fetch
from custodes.kernel.errors import ConfigurationError, NotFoundError
from custodes.kernel.settings import load_settings
from detectors.bundles import Bundle, BundleFault, import_bundle, list_bundles, verify_bundle
from detectors.errors import ModelFileError
from detectors.plugins import list_plugins
from detectors.text.encoder_files import (
    DISTRIBUTION,
    TOKENIZER_FILE,
    TOKENIZER_SHA256,
    WEIGHTS_FILE,
    WEIGHTS_SHA256,
    locate_encoder,
    read_verified,
)

_MIB = 1024 * 1024


@click.group()
def models() -> None:
    """List, import, verify and fetch local model bundles (CUSTODES_MODELS__DIR)."""


models.add_command(fetch)


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_(as_json: bool) -> None:
    """Show the pinned bundles, the packaged encoder and the installed detector plug-ins."""
    folder = _models_dir()
    bundles = _read(folder)
    active = set(load_settings().models.plugins)
    plugins = [
        {"name": one.name, "distribution": one.distribution, "version": one.version, "active": one.name in active}
        for one in list_plugins()
    ]
    if as_json:
        told = {"dir": str(folder), "bundles": [_to_json(one) for one in bundles], "plugins": plugins}
        click.echo(orjson.dumps(told).decode())
        return
    for bundle in bundles:
        size = sum(one.size_bytes for one in bundle.files) / _MIB
        click.echo(f"{bundle.name}  {len(bundle.files)} files, {size:,.1f} MiB  {bundle.digest}")
    if not bundles:
        click.echo(f"no bundles in {folder}; import one with: custodes models import FOLDER")
    click.echo(f"packaged encoder  sha256:{WEIGHTS_SHA256}  ({DISTRIBUTION})")
    for plugin in plugins:
        state = "active" if plugin["active"] else "not active"
        click.echo(f"plug-in {plugin['name']}  {state}  ({plugin['distribution']} {plugin['version']})")


@models.command("import")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", help="What to call the bundle; default the folder's name.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def import_(folder: Path, name: str | None, as_json: bool) -> None:
    """Copy the model in DIR into the models folder and pin every file by its SHA-256.

    A bundle of the same name is replaced.
    """
    target = _models_dir()
    try:
        bundle = import_bundle(folder, target, name)
    except ModelFileError as error:
        raise ConfigurationError(str(error)) from error
    if as_json:
        click.echo(orjson.dumps(_to_json(bundle)).decode())
        return
    click.echo(f"{bundle.name}: {len(bundle.files)} files pinned at {bundle.path}")
    click.echo(bundle.digest)


@models.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(names: tuple[str, ...], as_json: bool) -> None:
    """Read every file of the bundles (by default all, and the packaged encoder) and compare it with its pin.

    Names each changed, missing or additional file; the exit code is then 1.
    """
    folder = _models_dir()
    bundles = _read(folder)
    unknown = sorted(set(names) - {one.name for one in bundles})
    if unknown:
        there = ", ".join(one.name for one in bundles) or "none"
        raise NotFoundError(f"no bundle {', '.join(unknown)} in {folder}; there are: {there}")
    checked = [_Checked(one.name, verify_bundle(one)) for one in bundles if not names or one.name in names]
    packaged = None if names else _packaged_problem()
    if as_json:
        told = {"bundles": [one.to_json() for one in checked], "packaged_encoder": packaged or "ok"}
        click.echo(orjson.dumps(told).decode())
    else:
        for one in checked:
            click.echo(f"{one.name}: {'ok' if not one.faults else f'{len(one.faults)} files are not as pinned'}")
            for fault in one.faults:
                click.echo(f"  {fault.fault:<8} {fault.path}")
        if not names:
            click.echo(f"packaged encoder: {packaged or 'ok'}")
    if packaged is not None or any(one.faults for one in checked):
        raise click.exceptions.Exit(1)


@dataclass(frozen=True, slots=True)
class _Checked:
    name: str
    faults: list[BundleFault]

    def to_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "ok": not self.faults,
            "faults": [{"path": one.path, "fault": one.fault} for one in self.faults],
        }


def _packaged_problem() -> str | None:
    try:
        folder = locate_encoder()
        read_verified(folder / WEIGHTS_FILE, WEIGHTS_SHA256)
        read_verified(folder / TOKENIZER_FILE, TOKENIZER_SHA256)
    except ModelFileError as error:
        return str(error)
    return None


def _models_dir() -> Path:
    settings = load_settings()
    return settings.models.dir or settings.default_models_dir


def _read(folder: Path) -> list[Bundle]:
    try:
        return list_bundles(folder)
    except ModelFileError as error:
        raise ConfigurationError(str(error)) from error


def _to_json(bundle: Bundle) -> dict[str, object]:
    return {
        "name": bundle.name,
        "path": str(bundle.path),
        "digest": bundle.digest,
        "files": [{"path": one.path, "sha256": one.sha256, "bytes": one.size_bytes} for one in bundle.files],
    }
