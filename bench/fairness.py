"""``python -m bench fairness``: are the fairness monitor's guarantees true, and what do they cost?

False alarms over a million null exchanges with a look at each pair; delay against the formula
2 * variance * ln(1/alpha) / (gap - tolerance)^2 and against the least possible; delay of gaps that begin late; false
discoveries among many groups; what an exchange costs. ``BENCH_FAIRNESS_STREAMS`` sets the streams of each null (1,000);
``BENCH_FAIRNESS_PLOTS`` names a folder for plots. Takes forty minutes on one core, so it runs only when it is named.
"""

from __future__ import annotations

import math
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.fairness_plots import draw_delays, draw_null
from bench.fairness_rivals import first_alarms_by_agrapa, first_alarms_by_newton, first_alarms_by_z_test
from bench.fairness_streams import NEVER, Rates, draw_block, first_alarms
from bench.measurement import Measurement
from detectors.fairness.differences import UNIT, Differences
from detectors.fairness.discovery import discover, equal_shares
from detectors.fairness.history import History
from detectors.fairness.panel import Arrival, FairnessRules, Panel

ONLY_WHEN_NAMED = True
EPSILON: Final = 0.02
ALPHA: Final = 0.01
PAIRS: Final = 500_000
NULLS: Final = (
    ("rate 0.02, no gap", Rates.of(0.02, 0.02)),
    ("rate 0.1, no gap", Rates.of(0.1, 0.1)),
    ("rate 0.5, no gap", Rates.of(0.5, 0.5)),
    ("rate 0.02, gap of the tolerance", Rates.of(0.04, 0.02)),
    ("rate 0.1, gap of the tolerance", Rates.of(0.12, 0.1)),
)
GAPS: Final = ((0.05, 0.01), (0.1, 0.02), (0.15, 0.05), (0.3, 0.1), (0.4, 0.2), (0.55, 0.45), (0.5, 0.42), (0.7, 0.3))
LATE: Final = (0, 500, 5_000, 50_000)
RIVAL_PAIRS: Final = 20_000
RIVAL_STREAMS: Final = 400


def measure() -> list[Measurement]:
    """Return every figure; say on stderr how far it is."""
    streams = int(os.environ.get("BENCH_FAIRNESS_STREAMS", "1000"))
    plots = os.environ.get("BENCH_FAIRNESS_PLOTS")
    nulls, curves = _measure_nulls(streams)
    delays, ratios = _measure_delays(max(200, streams))
    if plots is not None:
        draw_null(Path(plots) / "fairness-null.png", PAIRS, ALPHA, curves)
        draw_delays(Path(plots) / "fairness-delay.png", ratios)
    rest = (_measure_late, _measure_rivals, _measure_discoveries, _measure_cost)
    return [*nulls, *delays, *(one for part in rest for one in part())]


def delay_formula(rates: Rates, epsilon: float, alpha: float) -> float:
    """Return the expected pairs to detection of a gambler who knows variance and gap, for small gaps."""
    return 2 * rates.variance * math.log(1 / alpha) / (abs(rates.gap) - epsilon) ** 2


def least_delay(rates: Rates, epsilon: float, alpha: float) -> float:
    """Return the expected pairs below which no test of this guarantee can get: ln(1/alpha) over the best growth."""
    bets = np.linspace(0, 0.999 / (1 + epsilon), 2_000)
    more, less = max(rates.up, rates.down), min(rates.up, rates.down)
    growth = (
        more * np.log1p(bets * (1 - epsilon))
        + less * np.log1p(bets * (-1 - epsilon))
        + (1 - more - less) * np.log1p(-bets * epsilon)
    )
    return math.log(1 / alpha) / float(growth.max())


def _measure_nulls(streams: int) -> tuple[list[Measurement], dict[str, NDArray[np.int64]]]:
    found, curves = [], {}
    for number, (name, rates) in enumerate(NULLS):
        began = time.monotonic()
        alarms = first_alarms(
            np.random.default_rng([1, number]), streams, PAIRS, _always(rates), EPSILON, ALPHA, _progress(name)
        )
        curves[name] = alarms
        found.append(Measurement(f"null, {name}: streams with any alarm", float((alarms != NEVER).mean()), "share"))
        _say(f"{name}: {int((alarms != NEVER).sum())} of {streams} alarmed ({time.monotonic() - began:.0f} s)")
    return found, curves


def _measure_delays(streams: int) -> tuple[list[Measurement], dict[float, list[tuple[str, float]]]]:
    found, ratios = [], {}
    for alpha in (0.01, 0.001):
        points = []
        for number, (group, other) in enumerate(GAPS):
            rates = Rates.of(group, other)
            formula = delay_formula(rates, EPSILON, alpha)
            pairs = int(20 * formula) + 200
            alarms = first_alarms(np.random.default_rng([2, number]), streams, pairs, _always(rates), EPSILON, alpha)
            if (alarms == NEVER).any():
                raise RuntimeError(f"a gap of {group} against {other} was not found in {pairs} pairs")
            ratio = float(alarms.mean()) / formula
            name = f"{group:g} against {other:g}, alpha {alpha:g}"
            points.append((f"{group:g} / {other:g}", ratio))
            found += [
                Measurement(f"delay, {name}", float(alarms.mean()), "pairs"),
                Measurement(f"delay / formula, {name}", ratio, "×"),
                Measurement(
                    f"delay / least possible, {name}", float(alarms.mean()) / least_delay(rates, EPSILON, alpha), "×"
                ),
            ]
            _say(f"{name}: {ratio:.2f} times the formula")
        ratios[alpha] = points
    return found, ratios


def _measure_late() -> list[Measurement]:
    found = []
    before, after = Rates.of(0.05, 0.05), Rates.of(0.15, 0.05)
    for change in LATE:
        pairs = change + 40_000
        alarms = first_alarms(
            np.random.default_rng([3, change]), 300, pairs, _changing(before, after, change), EPSILON, ALPHA
        )
        early = int(((alarms != NEVER) & (alarms <= change)).sum())
        delays = (alarms - change)[alarms > change]
        found.append(Measurement(f"gap of 0.1 after {change} quiet pairs: delay", float(delays.mean()), "pairs"))
        _say(f"after {change} quiet pairs: {delays.mean():.0f} pairs, {early} early alarms")
    return found


def _measure_rivals() -> list[Measurement]:
    found = []
    rivals: dict[str, Callable[[NDArray[np.int8]], NDArray[np.int64]]] = {
        "online Newton step": lambda one: first_alarms_by_newton(one, EPSILON, ALPHA),
        "aGRAPA": lambda one: first_alarms_by_agrapa(one, EPSILON, ALPHA),
        "z-test every 100 pairs": lambda one: first_alarms_by_z_test(one, EPSILON, ALPHA, every=100),
        "z-test for any gap at all": lambda one: first_alarms_by_z_test(one, 0.0, ALPHA, every=100),
    }
    streams = (
        ("no gap", Rates.of(0.1, 0.1)),
        ("gap of the tolerance", Rates.of(0.12, 0.1)),
        ("0.15 against 0.05", Rates.of(0.15, 0.05)),
    )
    for name, rates in streams:
        block = draw_block(np.random.default_rng(4), RIVAL_STREAMS, RIVAL_PAIRS, rates)
        for rival, run in rivals.items():
            alarms = run(block)
            if rates.gap > 0.05:
                formula = delay_formula(rates, EPSILON, ALPHA)
                value = float(alarms[alarms != NEVER].mean()) / formula
                found.append(Measurement(f"{rival}, {name}: delay / formula", value, "×"))
            else:
                value = float((alarms != NEVER).mean())
                found.append(Measurement(f"{rival}, {name}: any alarm in {RIVAL_PAIRS} pairs", value, "share"))
            _say(f"{rival}, {name}: {value:.3f}")
    return found


def _measure_discoveries() -> list[Measurement]:
    """Eight groups, six outcomes, a gap in six of the 48; looked at when the first claim is made, and at the end."""
    rng = np.random.default_rng(5)
    trials, hypotheses, real, pairs, every = 200, 48, 6, 3_000, 50
    shares = equal_shares(hypotheses)
    first, last, power = [], [], []
    for trial in range(trials):
        rates = [Rates.of(0.2, 0.08) if number < real else Rates.of(0.1, 0.1) for number in range(hypotheses)]
        blocks = [draw_block(rng, 1, pairs, one)[0] for one in rates]
        histories = [History() for _ in rates]
        claimed: list[bool] = []
        seen_first = False
        for begin in range(0, pairs, every):
            for history, block in zip(histories, blocks, strict=True):
                for place in range(begin, begin + every):
                    history.add(int(block[place]) * UNIT, place)
            claimed = discover([one.judge(EPSILON).log_evidence for one in histories], shares, ALPHA)
            if any(claimed) and not seen_first:
                first.append(sum(claimed[real:]) / sum(claimed))
                seen_first = True
        last.append(sum(claimed[real:]) / max(1, sum(claimed)))
        power.append(sum(claimed[:real]) / real)
        if trial % 50 == 49:
            _say(f"discoveries: {trial + 1} of {trials} trials")
    return [
        Measurement("false share of claims at the first claim, 6 of 48 real", float(np.mean(first)), "share"),
        Measurement("false share of claims after 3,000 pairs", float(np.mean(last)), "share"),
        Measurement("real gaps claimed after 3,000 pairs", float(np.mean(power)), "share"),
    ]


def _measure_cost() -> list[Measurement]:
    rng = random.Random(6)
    outcomes = ("toxic", "ungrounded", "refused", "negative", "clipped", "slow")
    panel = Panel(FairnessRules(), outcomes)
    arrivals = [
        Arrival(frozenset({f"g{rng.randrange(8)}"}), f"s{rng.randrange(16)}",
                {name: float(rng.random() < 0.1) for name in outcomes}, mark)
        for mark in range(20_000)
    ]  # fmt: skip
    began = time.process_time()
    panel.fold("one", arrivals)
    folded = time.process_time() - began
    began = time.process_time()
    panel.look(0)
    looked = time.process_time() - began
    return [
        Measurement("taking in an exchange, 8 groups and 6 outcomes", folded / len(arrivals) * 1e6, "µs"),
        Measurement("one look at 48 hypotheses", looked * 1e3, "ms"),
        Measurement("one pair added to a sum", _time_add(), "µs"),
    ]


def _time_add() -> float:
    differences = Differences()
    began = time.process_time()
    for _ in range(100_000):
        differences.add(UNIT)
    return (time.process_time() - began) * 10


def _always(rates: Rates) -> Callable[[int], Rates]:
    return lambda begin: rates


def _changing(before: Rates, after: Rates, change: int) -> Callable[[int], Rates]:
    return lambda begin: after if begin >= change else before


def _progress(name: str) -> Callable[[int, int], None]:
    return lambda pairs, alive: _say(f"{name}: {pairs} of {PAIRS} pairs, {alive} streams without an alarm")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
