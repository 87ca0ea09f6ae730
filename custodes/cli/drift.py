"""``custodes drift``: the live drift monitor, run over a file of texts or embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from custodes.kernel.errors import InvalidInputError, UnavailableError
from custodes.kernel.settings import load_settings
from detectors.errors import DetectorError, ModelFileError

if TYPE_CHECKING:
    from detectors.drift.files import EmbeddedFile
    from detectors.drift.offline import OfflineRun
    from detectors.drift.reference import Reference

_DEFAULT_ROWS = 2000
_PROGRESS_EVERY = 2048


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--reference",
    metavar="FILE|N",
    help="A file of usual traffic, or how many first rows of FILE are usual (default: a quarter, at most 2000).",
)
@click.option(
    "--alpha",
    type=float,
    default=0.0001,
    show_default=True,
    help="One over the exchanges to a false alarm, on average.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the random splits and coins.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write a picture (PNG) to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def drift(
    file: Path,
    reference: str | None,
    alpha: float,
    seed: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Watch the rows of FILE, in order, for drift away from a reference.

    FILE is .npy with one embedding a row, or .jsonl whose lines have "text" or "embedding". Numbers of rows count
    from 0. Exits with 1 when there is an alarm, and 0 when there is none.
    """
    if not 0.0 < alpha < 1.0:
        raise InvalidInputError(f"--alpha must lie between 0 and 1, got {alpha}")
    for package in ("numpy", *(("matplotlib",) if plot is not None else ())):
        if find_spec(package) is None:
            extra = "plots" if package == "matplotlib" else "detectors"
            raise UnavailableError(f"{package} is not installed: pip install 'custodes[{extra}]'")
    # Here and not above: --help must work without numpy.
    from detectors.drift.offline import run_offline  # noqa: PLC0415
    from detectors.drift.reference import build_reference  # noqa: PLC0415

    with _translated_errors():
        given = _read(file)
        usual, first, source = _read_reference(reference, given, file)
        fitted = build_reference(usual.vectors, encoder=usual.encoder, seed=seed)
        run = run_offline(
            fitted,
            given.vectors[first:],
            encoder=given.encoder,
            alpha=alpha,
            first=first,
            seed=seed,
            progress=_progress,
        )
    result = _result(run, fitted, alpha=alpha, rows=len(given.vectors), first=first, source=source)
    if plot is not None:
        from custodes.runtime.drift_plot import draw_run  # noqa: PLC0415

        draw_run(run, plot, first=first, alpha=alpha)
        click.echo(f"drawn: {plot}", err=True)
    click.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode() if as_json else _to_text(result))
    if run.episodes:
        raise click.exceptions.Exit(1)


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Turn what detectors raise into what the command line reports: a missing encoder can be installed, bad input
    not.
    """
    try:
        yield
    except ModelFileError as error:
        raise UnavailableError(str(error)) from error
    except DetectorError as error:
        raise InvalidInputError(str(error)) from error


def _read(file: Path) -> EmbeddedFile:
    from detectors.drift.files import read_embedded_file  # noqa: PLC0415

    def embed(texts: list[str]) -> tuple[Any, str]:
        if find_spec("torch") is None:
            raise UnavailableError("texts need the encoder: pip install 'custodes[detectors]', or give embeddings")
        from detectors.drift.texts import embed_texts  # noqa: PLC0415

        def tell(done: int) -> None:
            if done % _PROGRESS_EVERY == 0 or done == len(texts):
                click.echo(f"{file.name}: {done} of {len(texts)} texts embedded", err=True)

        return embed_texts(texts, models_dir=load_settings().models.dir, progress=tell)

    return read_embedded_file(file, embed)


def _read_reference(reference: str | None, given: EmbeddedFile, file: Path) -> tuple[EmbeddedFile, int, str]:
    """Return the reference's embeddings, the number of the first row that is watched, and what the reference is."""
    from detectors.drift.files import EmbeddedFile  # noqa: PLC0415

    if reference is not None and not reference.isdecimal():
        path = Path(reference)
        if not path.is_file():
            raise InvalidInputError(f"--reference: no file {reference!r}; give a file or a number of rows")
        return _read(path), 0, str(path)
    rows = min(_DEFAULT_ROWS, len(given.vectors) // 4) if reference is None else int(reference)
    if rows >= len(given.vectors):
        raise InvalidInputError(
            f"--reference {rows}: {file} has {len(given.vectors)} rows, none would be left to watch"
        )
    return EmbeddedFile(given.vectors[:rows], (), given.encoder), rows, f"the first {rows} rows"


def _progress(done: int) -> None:
    if done % 20_480 < 4096:
        click.echo(f"{done} rows watched", err=True)


def _result(
    run: OfflineRun, reference: Reference, *, alpha: float, rows: int, first: int, source: str
) -> dict[str, Any]:
    from detectors.drift.offline import render_episode  # noqa: PLC0415

    return {
        "n": rows,
        "watched": {"first": first, "rows": rows - first, "unusable": run.unusable},
        "alpha": alpha,
        "reference": {
            "source": source,
            "rows": reference.rows,
            "encoder": reference.encoder,
            "digest": reference.digest,
        },
        "largest_statistic": float(run.statistic.max(initial=0.0)),
        "alarms": [render_episode(one) for one in run.episodes],
    }


def _to_text(result: dict[str, Any]) -> str:
    watched = result["watched"]
    lines = [
        f"{watched['rows']} rows watched against {result['reference']['source']}"
        f" ({result['reference']['rows']} usable); {watched['unusable']} unusable",
        f"a false alarm is expected at most once in {1 / result['alpha']:,.0f} exchanges",
    ]
    for alarm in result["alarms"]:
        told = alarm["explanation"]
        lines += [
            f"drift found at row {alarm['at']}, probably since row {alarm['onset']}"
            f" (statistic {alarm['statistic']:,.0f}, view {alarm['view']}, {alarm['repeats']} more alarms"
            f" until row {alarm['last']})",
            f"  new exchanges rank above usual ones {told['separation']:.0%} of the time;"
            f" {told['novel_share']:.0%} are unlike anything in the reference",
        ]
        lines.append(f"  most like the change: rows {', '.join(map(str, told['examples']))}")
        lines += [
            f"  cluster {one['cell']}: {one['before']:.1%} before, {one['since']:.1%} since; rows {one['examples']}"
            for one in told["clusters"]
        ]
    if not result["alarms"]:
        lines.append(f"no drift found (largest statistic {result['largest_statistic']:,.1f})")
    return "\n".join(lines)
