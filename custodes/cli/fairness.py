"""``custodes fairness``: run the fairness monitor offline over a file, without server or database."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click
import orjson

from custodes.kernel.errors import InvalidInputError, UnavailableError
from detectors.errors import DetectorError

if TYPE_CHECKING:
    from detectors.fairness.offline import FairnessReport
    from detectors.fairness.rows import OutcomeRows


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@click.option("--epsilon", type=click.FloatRange(0, 1, max_open=True), default=0.02, show_default=True,
              help="The largest gap that is nobody's concern.")  # fmt: skip
@click.option("--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.01, show_default=True,
              help="Probability of any alarm when no gap is larger.")  # fmt: skip
@click.option("--min-pairs", type=click.IntRange(1), default=50, show_default=True,
              help="Pairs below which a gap counts as too few data.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw the gaps' course into this PNG.")
def fairness(file: Path, epsilon: float, alpha: float, min_pairs: int, as_json: bool, plot: Path | None) -> None:
    """Compare outcomes of groups in FILE: JSON lines or CSV of {"group", "outcome", "stratum"}, in order of time.

    An outcome is a number in [0, 1]. Exit code 1 means an alarm: some group's outcome differs from everybody else's by
    more than epsilon. Row numbers count from 0.
    """
    for package in ("numpy", *(("matplotlib",) if plot is not None else ())):
        if find_spec(package) is None:
            extra = "plots" if package == "matplotlib" else "detectors"
            raise UnavailableError(f"{package} is not installed: pip install 'custodes[{extra}]'")
    # Here and not above: --help must work without numpy.
    from detectors.fairness.offline import render_report, run_rows  # noqa: PLC0415
    from detectors.fairness.panel import FairnessRules  # noqa: PLC0415

    rules = FairnessRules(epsilon=epsilon, alpha=alpha, min_pairs=min_pairs)
    rows = _read(file)
    if not len(rows):
        raise InvalidInputError(f'{file}: no rows; each line is one such as {{"group": "a", "outcome": 0}}')
    try:
        report = run_rows(rows, rules, trail=plot is not None, progress=lambda done: _say(done, len(rows)))
    except DetectorError as error:
        raise InvalidInputError(f"{file}: {error}") from error
    if as_json:
        click.echo(orjson.dumps(render_report(report), option=orjson.OPT_INDENT_2).decode())
    else:
        _print(report)
    if plot is not None:
        from custodes.runtime.fairness_plot import draw_report  # noqa: PLC0415

        draw_report(report, plot)
        click.echo(f"drawn: {plot}", err=True)
    if report.alarms:
        raise click.exceptions.Exit(1)


def _say(done: int, total: int) -> None:
    click.echo(f"{done} of {total} rows", err=True)


def _read(file: Path) -> OutcomeRows:
    from detectors.fairness.rows import read_rows  # noqa: PLC0415

    with ExitStack() as stack:
        source: TextIO = sys.stdin
        if str(file) != "-":
            source = stack.enter_context(file.open(encoding="utf-8-sig", newline=""))
        try:
            return read_rows(source, is_csv=file.suffix.lower() == ".csv")
        except DetectorError as error:
            raise InvalidInputError(f"{file}: {error}") from error
        except UnicodeDecodeError as error:
            raise InvalidInputError(f"{file}: not UTF-8; save the file as UTF-8") from error


def _print(report: FairnessReport) -> None:
    rules = report.rules
    click.echo(f"{report.rows} rows, tolerance {rules.epsilon:g}, alpha {rules.alpha:g}")
    if report.panel.not_assessed:
        click.echo(f"{report.panel.not_assessed} outcomes were not assessed")
    if not report.readings:
        click.echo("no row names a group: there is nothing to compare")
    for (group, outcome), reading in report.readings.items():
        gap = reading.whole
        state = report.panel.state(group, outcome, reading).replace("_", " ")
        click.echo(f"\n{outcome} of {group!r}: {state}")
        click.echo(f"  {reading.members} of the group, {reading.others} others, {gap.pairs} pairs")
        if gap.gap is not None:
            click.echo(f"  gap {gap.gap:+.4f}, between {gap.low:+.4f} and {gap.high:+.4f}")
        if len(reading.strata) > 1:
            for one in reading.strata:
                shown = "no pairs" if one.gap is None else f"{one.gap:+.4f}"
                click.echo(f"    {one.name or '(none)':<24} {one.pairs:>9} pairs  {shown}")
    for alarm in report.alarms:
        direction = "higher" if alarm.higher else "lower"
        began = "" if alarm.onset is None else f", most likely since row {alarm.onset}"
        click.echo(
            f"\nALARM at row {alarm.at}: {alarm.outcome} of {alarm.group!r} is {direction} than everybody else's{began}"
        )
        click.echo(f"  gap since then between {alarm.recent.low:+.4f} and {alarm.recent.high:+.4f}")
    if not report.alarms:
        click.echo("\nno alarm")
