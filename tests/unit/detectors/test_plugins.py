from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from detectors.batching.limits import ReaderLimits
from detectors.contract import Setup
from detectors.errors import DetectorError
from detectors.model import Exchange
from detectors.plugins import Plugin, list_plugins, load_plugins
from detectors.profile import METRICS, load_profile
from detectors.text.encoder import Encoder

MODULE = '''
from detectors.contract import Findings
from detectors.errors import ModelFileError
from detectors.model import DetectorIdentity, assessed


class Shouting:
    """How much of a response is in capitals."""

    identities = (DetectorIdentity("shouting/example", "0.1.0", "sha256:" + "0" * 64),)
    metrics = ("shouting",)
    traits = ()
    head = None

    def texts(self, exchange):
        return ()

    def judge(self, seen):
        return [self.judge_one(one.exchange.response) for one in seen]

    def judge_one(self, response):
        if response == "fall over":
            raise RuntimeError
        letters = [one for one in response if one.isalpha()]
        return Findings((assessed("shouting", sum(map(str.isupper, letters)) / len(letters), self.identities[0]),))


def load(setup):
    return Shouting()


def refuse(setup):
    raise ModelFileError("fetch the weights first")


def stumble(setup):
    raise KeyError("setup")


def load_nothing(setup):
    return object()
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two distributions as pip would leave them, one with four plug-ins and one that offers a name of the first."""
    (tmp_path / "shouting_example.py").write_text(MODULE)
    entries = {
        "shouting-example-1.2.dist-info": [
            "shouting = shouting_example:load",
            "refusing = shouting_example:refuse",
            "stumbling = shouting_example:stumble",
            "nothing = shouting_example:load_nothing",
        ],
        "other-0.1.dist-info": ["nothing = other:load"],
    }
    for folder, lines in entries.items():
        name, version = folder.removesuffix(".dist-info").rsplit("-", 1)
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (tmp_path / folder / "entry_points.txt").write_text("[custodes.detectors]\n" + "\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("shouting_example", None)


@pytest.fixture
def setup(encoder: Encoder) -> Setup:
    return Setup(None, "cpu", True, encoder, ReaderLimits(64, 4, 0))


@pytest.mark.usefixtures("installed")
class TestListing:
    def test_it_names_what_is_installed_and_imports_nothing(self) -> None:
        assert Plugin("shouting", "shouting-example", "1.2") in list_plugins()
        assert "shouting_example" not in sys.modules


@pytest.mark.usefixtures("installed")
class TestLoading:
    def test_it_adds_nothing_that_was_not_named(self, setup: Setup) -> None:
        assert load_plugins([], setup) == []
        assert "shouting_example" not in sys.modules

    def test_it_loads_what_was_named(self, setup: Setup) -> None:
        (detector,) = load_plugins(["shouting"], setup)
        assert detector.metrics == ("shouting",)

    @pytest.mark.parametrize(
        ("names", "problem"),
        [
            (["shout"], "no detector plug-in 'shout' is installed; installed: .*shouting"),
            (["shouting", "shouting"], "named twice"),
            (["refusing"], "'refusing' of shouting-example 1.2 cannot be loaded: fetch the weights first"),
            (["stumbling"], "'stumbling' of shouting-example 1.2 cannot be loaded: KeyError"),
            (["nothing"], "several distributions offer a detector plug-in 'nothing': .*other"),
        ],
    )
    def test_it_stops_at_what_cannot_be_loaded(self, setup: Setup, names: list[str], problem: str) -> None:
        with pytest.raises(DetectorError, match=problem):
            load_plugins(names, setup)

    def test_it_refuses_what_is_no_detector(self, setup: Setup, tmp_path: Path) -> None:
        (tmp_path / "other-0.1.dist-info" / "entry_points.txt").unlink()
        with pytest.raises(DetectorError, match="is no detector: it has no identities, metrics"):
            load_plugins(["nothing"], setup)


@pytest.mark.usefixtures("installed")
class TestProfile:
    def test_it_scores_beside_the_profiles_own_and_fails_alone(self) -> None:
        profile = load_profile("builtin", plugins=["shouting"])
        assert profile.metrics() == (*METRICS, "shouting")
        assert profile.identities()[-1].name == "shouting/example"
        answers = profile.score([Exchange("a", "Hi", "HELLO there"), Exchange("b", "Hi", "fall over")])
        assert [answer.scores[-1].value for answer in answers] == [0.5, None]
        assert answers[1].scores[-1].reason == "detector_error"
        own = [score for score in answers[1].scores[:-1] if score.reason != "no_context"]
        assert {score.state for score in own} == {"assessed"}
