from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator

import pytest

from detectors.fairness.panel import REMEMBERED_BATCHES, Alarm, Arrival, FairnessRules, Panel

RULES = FairnessRules()


def traffic(
    seed: int, arrivals: int, rates: dict[str, float], outcome: str = "refused", strata: int = 2
) -> Iterator[Arrival]:
    rng = random.Random(seed)
    names = list(rates)
    for mark in range(arrivals):
        group = rng.choice(names)
        value = float(rng.random() < rates[group])
        yield Arrival(frozenset({group}), f"s{rng.randrange(strata)}", {outcome: value}, mark)


def watched(panel: Panel, arrivals: Iterator[Arrival]) -> list[Alarm]:
    return [alarm for arrival in arrivals for alarm in panel.observe(arrival)]


class TestAlarms:
    def test_it_finds_the_group_that_is_refused_more_often(self) -> None:
        panel = Panel(RULES, ["refused"], ["de", "fr", "it"])
        alarms = watched(panel, traffic(1, 20_000, {"de": 0.2, "fr": 0.05, "it": 0.05}))
        assert alarms[0].group == "de"
        assert alarms[0].higher
        assert alarms[0].log_evidence >= math.log(3 / RULES.alpha)
        assert {alarm.group for alarm in alarms if alarm.higher} == {"de"}

    def test_it_alarms_once(self) -> None:
        panel = Panel(RULES, ["refused"], ["de"])
        arrivals = list(traffic(1, 20_000, {"de": 0.3, "fr": 0.05}))
        assert len(watched(panel, iter(arrivals))) == 1
        assert panel.look(20_000) == []
        assert list(panel.alarms) == [("de", "refused")]

    def test_it_finds_a_group_that_fares_better(self) -> None:
        (alarm,) = watched(Panel(RULES, ["slow"], ["de"]), traffic(2, 20_000, {"de": 0.02, "fr": 0.2}, "slow"))
        assert not alarm.higher
        assert alarm.recent.high < 0

    def test_it_stays_quiet_inside_the_tolerance(self) -> None:
        panel = Panel(RULES, ["refused"], ["de"])
        assert watched(panel, traffic(3, 60_000, {"de": 0.06, "fr": 0.05})) == []

    def test_a_group_seen_once_never_alarms(self) -> None:
        panel = Panel(RULES, ["refused"])
        rare = Arrival(frozenset({"rare"}), "s0", {"refused": 1.0}, 0)
        alarms = watched(panel, iter([rare, *traffic(4, 5_000, {"de": 0.01, "fr": 0.01})]))
        assert alarms == []
        assert panel.state("rare", "refused", panel.read("rare", "refused")) == "too_few_data"

    def test_looking_after_every_arrival_raises_the_same_alarms(self) -> None:
        """``observe`` leaves out looks that cannot alarm; here every look is taken."""
        rates = {"de": 0.16, "fr": 0.05, "it": 0.05}
        sparing, eager = Panel(RULES, ["refused"], list(rates)), Panel(RULES, ["refused"], list(rates))
        expected = watched(sparing, traffic(5, 4_000, rates))
        found = []
        for number, arrival in enumerate(traffic(5, 4_000, rates)):
            eager.fold(str(number), [arrival])
            eager._far = dict.fromkeys(eager._far, 0)
            found += eager.look(arrival.mark)
        assert [(one.group, one.at) for one in expected] == [(one.group, one.at) for one in found]
        assert expected

    def test_looking_by_batches_misses_nothing_for_good(self) -> None:
        panel = Panel(RULES, ["refused"], ["de"])
        arrivals = list(traffic(6, 6_000, {"de": 0.3, "fr": 0.05}))
        for start in range(0, 6_000, 500):
            panel.fold(f"batch {start}", arrivals[start : start + 500])
        (alarm,) = panel.look(6_000)
        assert (alarm.group, alarm.at) == ("de", 6_000)


class TestBadInput:
    def test_nan_and_missing_outcomes_are_counted_and_compared_with_nothing(self) -> None:
        panel = Panel(RULES, ["refused"], ["de"])
        panel.observe(Arrival(frozenset({"de"}), "s", {"refused": math.nan}, 0))
        panel.observe(Arrival(frozenset({"de"}), "s", {"refused": None}, 1))
        panel.observe(Arrival(frozenset({"de"}), "s", {}, 2))
        assert panel.not_assessed == 3
        assert panel.read("de", "refused").members == 0

    @pytest.mark.parametrize("value", [math.inf, -0.5, 100.0])
    def test_an_outcome_outside_zero_and_one_is_refused(self, value: float) -> None:
        with pytest.raises(ValueError, match="in \\[0, 1\\]"):
            Panel(RULES, ["refused"], ["de"]).observe(Arrival(frozenset({"de"}), "s", {"refused": value}, 0))

    def test_a_batch_folded_twice_counts_once(self) -> None:
        panel = Panel(RULES, ["refused"], ["de"])
        batch = list(traffic(7, 300, {"de": 0.3, "fr": 0.1}))
        assert panel.fold("7", batch) is True
        before = panel.to_json()
        assert panel.fold("7", batch) is False
        assert panel.to_json() == before

    def test_two_workers_that_hold_the_same_batch_count_it_once(self) -> None:
        stored = Panel(RULES, ["refused"]).to_json()
        batch = list(traffic(8, 300, {"de": 0.3, "fr": 0.1}))
        for _ in range(2):
            worker = Panel.from_json(RULES, json.loads(json.dumps(stored)))
            worker.fold("8", batch)
            stored = worker.to_json()
        once = Panel(RULES, ["refused"])
        once.fold("8", batch)
        assert stored == once.to_json()

    def test_it_forgets_batches_only_after_many_others(self) -> None:
        panel = Panel(RULES, ["refused"], ["de"])
        for number in range(REMEMBERED_BATCHES):
            assert panel.fold(str(number), [])
        assert panel.fold("0", []) is False

    def test_a_clock_that_goes_backwards_changes_no_evidence(self) -> None:
        forward, backward = Panel(RULES, ["refused"], ["de"]), Panel(RULES, ["refused"], ["de"])
        for arrival in traffic(9, 3_000, {"de": 0.2, "fr": 0.1}):
            forward.observe(arrival)
            backward.observe(Arrival(arrival.groups, arrival.stratum, arrival.outcomes, 10**9 - arrival.mark))
        assert forward.read("de", "refused").whole.gap == backward.read("de", "refused").whole.gap
        assert forward.read("de", "refused").log_evidence == backward.read("de", "refused").log_evidence

    def test_a_late_batch_alarms_no_more_than_a_punctual_one(self) -> None:
        """Batches of equal groups whose level rises over time, folded in another order than they happened."""
        batches = [list(traffic(seed, 400, {"de": 0.02 * seed, "fr": 0.02 * seed}, strata=1)) for seed in range(1, 21)]
        random.Random(3).shuffle(batches)
        panel = Panel(RULES, ["refused"], ["de"])
        for number, batch in enumerate(batches):
            panel.fold(str(number), batch)
            assert panel.look(number) == []

    def test_it_takes_on_only_so_many_groups(self) -> None:
        panel = Panel(FairnessRules(max_groups=3), ["refused"])
        for number in range(10):
            panel.observe(Arrival(frozenset({f"g{number}"}), "s", {"refused": 0.0}, number))
        assert panel.groups == ["g0", "g1", "g2"]

    @pytest.mark.parametrize(
        "values", [{"epsilon": 1.0}, {"epsilon": -0.1}, {"epsilon": math.nan}, {"alpha": 0.0}, {"alpha": 1.0},
                   {"min_pairs": 0}, {"max_groups": 0}],
    )  # fmt: skip
    def test_rules_that_mean_nothing_are_refused(self, values: dict[str, float]) -> None:
        with pytest.raises(ValueError, match="must be"):
            FairnessRules(**values)  # type: ignore[arg-type]


class TestState:
    def test_it_is_stored_exactly_and_goes_on_alike(self) -> None:
        panel = Panel(RULES, ["refused", "slow"])
        arrivals = list(traffic(10, 6_000, {"de": 0.2, "fr": 0.05, "it": 0.05}))
        for arrival in arrivals[:3_000]:
            panel.observe(arrival)
        again = Panel.from_json(RULES, json.loads(json.dumps(panel.to_json())))
        rest = [watched(one, iter(arrivals[3_000:])) for one in (panel, again)]
        assert rest[0] == rest[1]
        assert panel.to_json() == again.to_json()

    def test_it_is_small(self) -> None:
        panel = Panel(RULES, ["refused", "slow", "toxic"])
        rng = random.Random(11)
        for mark in range(30_000):
            outcomes = {name: float(rng.random() < 0.1) for name in panel.outcomes}
            panel.observe(Arrival(frozenset({rng.choice("abcd")}), f"s{rng.randrange(8)}", outcomes, mark))
        assert len(json.dumps(panel.to_json(), separators=(",", ":"))) < 12 * 6_000

    def test_each_state_means_what_it_says(self) -> None:
        panel = Panel(FairnessRules(epsilon=0.1), ["refused"], ["de"])

        def state() -> str:
            return panel.state("de", "refused", panel.read("de", "refused"))

        assert state() == "too_few_data"
        arrivals = traffic(12, 40_000, {"de": 0.1, "fr": 0.1})
        for _, arrival in zip(range(200), arrivals, strict=False):
            panel.observe(arrival)
        assert state() == "watching"
        for arrival in arrivals:
            panel.observe(arrival)
        assert state() == "within_tolerance"
        for arrival in traffic(13, 40_000, {"de": 0.9, "fr": 0.1}):
            panel.observe(arrival)
        assert state() == "gap"

    @pytest.mark.parametrize("version", [None, 2, "1"])
    def test_it_refuses_a_state_of_another_version(self, version: object) -> None:
        written = {**Panel(RULES, ["refused"], ["de"]).to_json(), "version": version}
        with pytest.raises(ValueError, match="version"):
            Panel.from_json(RULES, written)

    def test_it_refuses_a_monitor_that_belongs_nowhere(self) -> None:
        written = Panel(RULES, ["refused"], ["de"]).to_json()
        written["monitors"][0][0] = "fr"
        with pytest.raises(ValueError, match="damaged"):
            Panel.from_json(RULES, written)


class TestShares:
    def test_groups_known_beforehand_share_alike(self) -> None:
        panel = Panel(RULES, ["refused", "slow"], ["de", "fr"])
        assert {panel.share(group, outcome) for group in ("de", "fr") for outcome in ("refused", "slow")} == {0.25}

    def test_groups_that_turn_up_never_share_more_than_the_whole(self) -> None:
        panel = Panel(FairnessRules(max_groups=5), ["refused", "slow"])
        for number in range(5):
            panel.observe(Arrival(frozenset({f"g{number}"}), "s", {"refused": 0.0, "slow": 0.0}, number))
        shares = [panel.share(group, outcome) for group in panel.groups for outcome in panel.outcomes]
        assert sum(shares) == pytest.approx(1.0)
