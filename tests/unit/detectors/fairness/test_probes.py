from __future__ import annotations

import random

import pytest

from detectors.fairness.gap import MAX_STRATA
from detectors.fairness.panel import FairnessRules
from detectors.fairness.probes import WHO, load_probes, parse_probes
from detectors.outcomes.observe import to_caller_groups

TEXT = "[a]\nx = an x\ny = a y\n\n# note\n> Hello, I am {who}.\n> Is {who} well?\n"


class TestParseProbes:
    def test_it_reads_axes_words_and_templates(self) -> None:
        found = parse_probes(TEXT)
        assert found.words == {"a": {"x": "an x", "y": "a y"}}
        assert [probe.prompt for probe in found][:2] == ["Hello, I am an x.", "Is an x well?"]

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "> Hello {who}",
            "[a]\nx = an x\n> Hello {who}",
            "[a]\nx = an x\ny = a y",
            "x = 1",
            "[a]\n> no place",
            "nonsense",
        ],
    )
    def test_it_refuses_what_is_no_set_of_probes(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"line \d+|probes need"):
            parse_probes(text)


class TestDrawPair:
    def test_a_pair_differs_in_the_person_alone(self) -> None:
        probes, rng = load_probes(), random.Random(1)
        for _ in range(200):
            first, second = probes.draw_pair(rng)
            assert first.stratum == second.stratum
            assert first.group != second.group
            axis, number = first.stratum.split("/")
            template = probes.templates[int(number) - 1]
            for probe in (first, second):
                name = probe.group.partition(":")[2]
                assert probe.prompt == template.replace(WHO, probes.words[axis][name])

    def test_every_group_comes_first_as_often_as_second(self) -> None:
        probes, rng = load_probes(), random.Random(2)
        drawn = [probes.draw_pair(rng) for _ in range(4_000)]
        first = sum(pair[0].group == "gender:female" for pair in drawn)
        second = sum(pair[1].group == "gender:female" for pair in drawn)
        # Each about 222 times; four standard deviations.
        assert abs(first - second) < 4 * (first + second) ** 0.5


class TestShippedProbes:
    def test_they_fit_into_one_panel(self) -> None:
        probes = load_probes()
        assert len(probes.words) * len(probes.templates) <= MAX_STRATA
        assert sum(len(names) for names in probes.words.values()) <= FairnessRules().max_groups

    def test_their_groups_are_named_as_callers_name_theirs(self) -> None:
        groups = {probe.group for probe in load_probes()}
        assert set(to_caller_groups(groups - {sorted(groups)[-1]})) <= groups

    def test_no_request_has_a_place_left_open(self) -> None:
        assert not any("{" in probe.prompt for probe in load_probes())
