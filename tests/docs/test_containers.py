"""The compose file and the Dockerfile fit the checkout, though no container is started here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from custodes.cli.main import cli


@pytest.fixture
def compose(root: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((root / "docker-compose.yml").read_text())
    return loaded


class TestCompose:
    def test_it_runs_every_role_with_a_command_that_exists(self, compose: dict[str, Any]) -> None:
        ours = {name: one for name, one in compose["services"].items() if one.get("image") == "custodes"}
        assert {"serve", "work", "console"} <= set(ours)
        assert {one["command"][0] for one in ours.values()} <= set(cli.list_commands(None))  # type: ignore[arg-type]

    def test_it_waits_only_for_services_it_has(self, compose: dict[str, Any]) -> None:
        services = compose["services"]
        waits = {name for one in services.values() for name in one.get("depends_on", ())}
        assert waits <= set(services)

    def test_it_mounts_only_volumes_it_has(self, compose: dict[str, Any]) -> None:
        mounts = {one.split(":")[0] for service in compose["services"].values() for one in service.get("volumes", ())}
        assert mounts == set(compose["volumes"])

    def test_it_opens_ports_on_loopback_only(self, compose: dict[str, Any]) -> None:
        ports = [port for one in compose["services"].values() for port in one.get("ports", ())]
        assert ports
        assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


class TestDockerfile:
    def test_it_copies_what_exists_and_all_that_the_wheel_needs(self, root: Path) -> None:
        lines = re.findall(r"^COPY (.+)$", (root / "Dockerfile").read_text(), re.MULTILINE)
        copied = {name for line in lines for name in line.split()[:-1]}
        assert [name for name in copied if not (root / name).exists()] == []
        packages = {"custodes", "collector", "detectors", "policies", "recognisers", "ui"}
        assert packages | {"migrations", "hatch_build.py"} <= copied

    def test_it_does_not_run_as_root(self, root: Path) -> None:
        assert re.search(r"^USER (?!root)", (root / "Dockerfile").read_text(), re.MULTILINE)
