"""How a back-test is shown at a terminal: a bar while it runs, then its findings in words."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from policies.backtest import Progress

SAY_EVERY_S = 2.0
_MOST_SHOWN = 20


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Give a function that says on stderr how far a back-test is: a bar on a terminal, else a line now and then."""
    stream = sys.stderr
    if not stream.isatty():
        yield _Lines(time.monotonic).say
        return
    with click.progressbar(length=1, label="back-test", file=stream, show_pos=True) as bar:

        def move(done: int, total: int) -> None:
            bar.length = max(1, total)
            bar.update(done - bar.pos)

        yield move


class _Lines:
    """Progress where there is no terminal: nothing for what is soon over."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._said_s = clock()

    def say(self, done: int, total: int) -> None:
        """Print a line when the last one was some seconds ago."""
        if self._clock() - self._said_s >= SAY_EVERY_S:
            self._said_s = self._clock()
            click.echo(f"back-test: {done:,} of {total:,} minutes", err=True)


def print_report(report: Mapping[str, Any]) -> None:
    """Print the report of a back-test for people."""
    click.echo(f"{report['policy_id']} {report['version']}")
    click.echo(
        f"from {report['from']} to {report['to']}: {report['minutes']} minutes, {report['evaluations']} evaluations"
    )
    click.echo(f"no data {report['no_data']}, errors {report['errors']}, late or changed rows {report['changed_rows']}")
    click.echo(f"fires {report['firing']} times, {_time(report['firing_s'])} in all")
    for firing in report["firings"][:_MOST_SHOWN]:
        until = "still firing" if firing["to"] is None else f"until {firing['to']}"
        click.echo(
            f"  {firing['from']} {until} ({_time(firing['duration_s'])}) {_group(firing['group'])}: {firing['reason']}"
        )
    if report["firing"] > _MOST_SHOWN:
        click.echo(f"  and {report['firing'] - _MOST_SHOWN} more; --json lists them")
    for action in report["actions"]:
        click.echo(f"would {_DO[action['mode']]} {action['kind']} {action['times']} times")
    _print_active(report["active"])
    _print_labels(report["labels"])
    _print_recorded(report["recorded"])


_DO = {"auto": "do", "propose": "propose", "shadow": "have noted"}


def _print_active(active: Mapping[str, Any] | None) -> None:
    if active is None:
        click.echo("no version is active, so there is nothing to compare with")
    elif active["same"]:
        click.echo("this is the active version")
    elif "problem" in active:
        click.echo(f"the active version cannot be run: {active['problem']}")
    else:
        click.echo(
            f"the active version fires {active['firing']} times: {active['both']} in common, "
            f"{len(active['only_candidate'])} only here, {len(active['only_active'])} only there"
        )


def _print_labels(labels: Mapping[str, Any]) -> None:
    if labels["precision"] is None and labels["recall"] is None:
        click.echo("no labelled incident in this time, so precision and recall are unknown")
        return
    precision = "unknown" if labels["precision"] is None else f"{labels['precision']:.2f}"
    recall = "unknown" if labels["recall"] is None else f"{labels['recall']:.2f}"
    click.echo(
        f"precision {precision} ({labels['true_alarms']} true, {labels['false_alarms']} false, "
        f"{labels['unlabelled']} unlabelled), recall {recall} ({labels['found']} of {labels['incidents']})"
    )


def _print_recorded(recorded: Mapping[str, Any]) -> None:
    if not recorded["compared"]:
        click.echo(f"not compared with live evaluation: {recorded['reason']}")
        return
    gaps = recorded["minutes_not_evaluated"]
    seen = f"{recorded['decisions']} decisions, {recorded['minutes']} minutes" + (
        f", {gaps} not evaluated" if gaps else ""
    )
    click.echo(f"{'equals' if recorded['equal'] else 'DIFFERS FROM'} what live evaluation recorded ({seen})")
    for name in ("only_backtest", "only_recorded"):
        for one in recorded[name][:_MOST_SHOWN]:
            click.echo(f"  {name.replace('_', ' ')}: {one['at']} {one['group']} {one['from']} → {one['to']}")


def _group(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in labels.items()) or "all traffic"


def _time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "m"), (rest, "s"))
    return " ".join(f"{count}{unit}" for count, unit in parts if count) or "0s"
