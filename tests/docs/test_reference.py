"""The reference pages say what the code says: every setting, every metric, no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import Settings, setting_names, settings_to_environment
from custodes_sdk.environment import NAMES, PREFIX

ROW = re.compile(r"^\| `([A-Za-z_]+)` \| (.*?) \| (.*) \|$", re.MULTILINE)


def read_rows(page: Path) -> dict[str, tuple[str, str]]:
    return {name: (second, third) for name, second, third in ROW.findall(page.read_text(encoding="utf-8"))}


def default_of(name: str) -> object:
    found: object = Settings.model_construct()
    for part in name.removeprefix("CUSTODES_").lower().split("__"):
        found = getattr(found, part)
    return found


class TestSettings:
    def test_it_lists_every_setting_and_no_other(self, root: Path) -> None:
        assert set(read_rows(root / "docs" / "settings.md")) == set(setting_names())

    @pytest.mark.parametrize("name", sorted(setting_names()))
    def test_it_gives_the_description_and_the_default_of_the_code(self, root: Path, name: str) -> None:
        shown, meaning = read_rows(root / "docs" / "settings.md")[name]
        assert meaning.replace("`", "") == setting_names()[name]
        default = default_of(name)
        if default in (None, ""):
            assert shown == "–"
        else:
            assert shown.strip("`").lower() in {str(default).lower(), "[]" if default == () else str(default).lower()}

    def test_it_names_only_known_variables_anywhere(self, root: Path, pages: list[Path]) -> None:
        files = [*pages, root / "docker-compose.yml", root / "Dockerfile"]
        used = {
            name for page in files for name in re.findall(r"CUSTODES_[A-Z_]*[A-Z]", page.read_text(encoding="utf-8"))
        }
        of_the_sdk = {PREFIX + name for name in NAMES} | {PREFIX.rstrip("_")}
        assert used - set(setting_names()) - of_the_sdk == set()

    def test_it_can_be_set_by_what_it_is_called(self) -> None:
        assert set(settings_to_environment(Settings(dev=True))) <= set(setting_names())


class TestMetrics:
    def test_it_lists_every_metric_with_kind_and_labels_and_no_other(self, root: Path) -> None:
        declared = {
            metric._name: (metric._type, tuple(metric._labelnames))
            for metric in vars(Metrics()).values()
            if isinstance(metric, MetricWrapperBase)
        }
        page = (root / "docs" / "metrics.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| `(custodes_\w+)` \| (\w+) \| (.*?) ?\| .+ \|$", page, re.MULTILINE)
        documented = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
        assert documented == declared

    def test_it_names_only_known_metrics_in_the_text(self, root: Path) -> None:
        page = (root / "docs" / "metrics.md").read_text(encoding="utf-8")
        known = {metric._name for metric in vars(Metrics()).values() if isinstance(metric, MetricWrapperBase)}
        named = {name.removesuffix("_total") for name in re.findall(r"custodes_[a-z_]+", page)}
        assert named - known == set()
