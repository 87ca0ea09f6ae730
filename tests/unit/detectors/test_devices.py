from __future__ import annotations

import subprocess
from typing import Any

import pytest
import torch

from detectors.devices import choose_devices, describe_device, find_devices, parse_devices
from detectors.errors import DetectorError


class TestNames:
    @pytest.mark.parametrize(
        ("name", "devices"),
        [("cpu", ("cpu",)), ("cuda:0", ("cuda:0",)), ("cuda:2,cuda:0", ("cuda:2", "cuda:0"))],
    )
    def test_it_reads_devices_that_are_listed(self, name: str, devices: tuple[str, ...]) -> None:
        assert parse_devices(name) == devices

    @pytest.mark.parametrize("name", ["auto", "cuda"])
    def test_it_leaves_to_the_machine_what_depends_on_it(self, name: str) -> None:
        assert parse_devices(name) is None

    @pytest.mark.parametrize("name", ["", "gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cpu,cuda:0", "cpu ", "cuda:0,"])
    def test_it_refuses_any_other_name_and_says_which_there_are(self, name: str) -> None:
        with pytest.raises(DetectorError, match="write cpu, cuda for every CUDA device"):
            parse_devices(name)

    def test_it_refuses_a_device_named_twice(self) -> None:
        with pytest.raises(DetectorError, match="twice"):
            parse_devices("cuda:0,cuda:0")


class TestChoosing:
    @pytest.mark.parametrize(
        ("name", "count", "devices"),
        [
            ("cpu", 4, ("cpu",)),
            ("auto", 0, ("cpu",)),
            ("auto", 2, ("cuda:0", "cuda:1")),
            ("cuda", 3, ("cuda:0", "cuda:1", "cuda:2")),
            ("cuda:1", 2, ("cuda:1",)),
        ],
    )
    def test_it_takes_what_is_named_and_what_there_is(self, name: str, count: int, devices: tuple[str, ...]) -> None:
        assert choose_devices(name, count) == devices

    @pytest.mark.parametrize(
        ("name", "count", "problem"),
        [
            ("cuda", 0, "no CUDA device here"),
            ("cuda:0", 0, "no device cuda:0 here: there is none"),
            ("cuda:0,cuda:2", 2, "no device cuda:2 here: there are 2"),
        ],
    )
    def test_it_never_takes_another_device_instead(self, name: str, count: int, problem: str) -> None:
        with pytest.raises(DetectorError, match=problem):
            choose_devices(name, count)


class TestFinding:
    def test_it_starts_nothing_to_find_the_cpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a process was started"))
        assert find_devices("cpu") == ("cpu",)

    def test_it_agrees_with_torch(self) -> None:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        assert find_devices("auto") == choose_devices("auto", count)

    def test_it_says_so_when_torch_cannot_be_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def run(command: list[str], **_: Any) -> None:
            raise subprocess.CalledProcessError(1, command)

        monkeypatch.setattr(subprocess, "run", run)
        with pytest.raises(DetectorError, match="CalledProcessError"):
            find_devices("auto")


class TestDescribing:
    def test_it_names_what_the_processor_computes_with(self) -> None:
        assert describe_device("cpu").startswith("cpu (")
