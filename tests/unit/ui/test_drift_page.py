"""The page about drift, before the server of the story."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from custodes_sdk.models import DriftEpisode, DriftExplanation, DriftFigures, DriftMap, DriftMonitor, DriftVersion
from ui.charts.drift import LEAST_SHARE, map_to_frame, monitors_to_frame
from ui.components.drift_story import source_text, statistic_text, tell_change

Console = Callable[..., AppTest]


def words(app: AppTest) -> str:
    kinds = [app.title, app.header, app.subheader, app.caption, app.markdown, app.info, app.success]
    kinds += [app.warning, app.error]
    return "\n".join(str(element.value) for kind in kinds for element in kind).replace("\\", "")


class TestTheList:
    def test_every_state_is_a_word_and_counted(self, open_console: Console) -> None:
        app = open_console("drift")
        assert [(metric.label, metric.value) for metric in app.metric] == [
            ("Drift", "1"), ("Damaged", "1"), ("Watching", "1"), ("Learning", "1"),
        ]  # fmt: skip
        (table,) = app.dataframe
        assert list(table.value["State"]) == ["Drift", "Damaged", "Watching", "Learning"]
        assert list(table.value["Watches"]) == ["Responses", "Prompts", "Latency", "Hallucination"]
        assert next(iter(table.value["Alarm line"])) == "400,000"

    def test_it_says_what_is_promised(self, open_console: Console) -> None:
        assert "one false alarm of a deployment is expected in 100,000 exchanges" in words(open_console("drift"))

    def test_a_filter_leaves_what_it_names(self, open_console: Console) -> None:
        app = open_console("drift")
        app.selectbox(key="drift_state").set_value("Learning").run()
        (table,) = app.dataframe
        assert list(table.value["State"]) == ["Learning"]
        assert "No monitor watches yet" in words(app)

    def test_before_traffic_it_says_so(self, open_console: Console, fake_module: Any) -> None:
        assert "Nothing is watched yet" in words(open_console("drift", fake_module.FakeApi(empty=True)))


class TestOneMonitor:
    def test_it_tells_what_changed_and_leads_to_exchanges(self, open_console: Console) -> None:
        app = open_console("drift", monitor="1")
        told = words(app)
        assert "no longer as in reference version 1" in told
        assert "exchanges are unlike the reference" in told
        assert "97.0% of comparisons" in told
        assert "41.0% are unlike anything" in told
        clusters = app.table[0].value
        assert list(clusters["Change"]) == ["grew", "shrank"]
        links = [node.proto.label for node in app.main if node.type == "page_link"]
        assert "Open the incident" in links
        assert "Exchange, example 1\\: 4bf92f35" in links

    def test_a_number_and_one_that_learns_are_told_too(self, open_console: Console) -> None:
        assert "an alarm is raised at 400,000" in words(open_console("drift", monitor="3"))
        assert "17 values so far" in words(open_console("drift", monitor="4"))

    def test_an_episode_that_is_over_can_still_be_read(self, open_console: Console) -> None:
        app = open_console("drift", episode="e2")
        assert "What changed" in words(app)
        assert "not found any more" in str(app.table[2].value.to_numpy())

    def test_one_that_is_gone_shows_the_list(self, open_console: Console) -> None:
        assert "Drift" in [title.value for title in open_console("drift", monitor="99").title]

    def test_an_expected_change_is_asked_for_with_a_reason(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("drift", api, monitor="1")
        app.selectbox(key="drift_source").set_value("The last day")
        app.text_input(key="text_drift_expected").set_value("Version 9 answers in French.")
        next(button for button in app.button if button.label == "This change is expected").click().run()
        assert api.bodies[-1] == (
            "/api/v1/drift/references",
            {
                "place_id": 7,
                "reason": "Version 9 answers in French.",
                "source": {"kind": "period", "from": "now-1d", "to": "now"},
            },
        )
        assert "once somebody else has approved" in words(app)

    def test_a_reason_that_says_nothing_is_not_sent(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("drift", api, monitor="1")
        app.text_input(key="text_drift_expected").set_value("so")
        next(button for button in app.button if button.label == "This change is expected").click().run()
        assert api.bodies == []
        assert "at least 10 characters" in words(app)

    def test_one_that_waits_can_be_approved(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        api.waiting = True
        app = open_console("drift", api, monitor="1")
        assert "Version 2 waits for approval" in words(app)
        next(button for button in app.button if button.label == "Approve the change").click().run()
        assert api.bodies[-1] == ("/api/v1/drift/references/r2/approve", {"comment": ""})

    def test_a_report_is_asked_for(self, open_console: Console, fake_module: Any) -> None:
        api = fake_module.FakeApi()
        app = open_console("drift", api, monitor="1")
        assert "is not ready yet" in words(app)
        assert "is not installed" in words(app)
        app.button(key="drift_report").click().run()
        assert api.bodies[-1] == ("/api/v1/drift/reports", {"monitor_id": 1, "episode_id": "e1"})


class TestWords:
    @pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (0.0412, "0.0412"), (12.34, "12.3"), (4e5, "400,000")])
    def test_statistics_have_three_digits(self, value: float, text: str) -> None:
        assert statistic_text(value) == text

    def test_a_reference_says_what_it_is_made_of(self) -> None:
        assert source_text({"kind": "pinned", "exchanges": 64}) == "64 pinned exchanges"
        assert source_text({"kind": "pinned", "exchanges": 64, "dataset": "d-1"}).endswith("of data set d-1")
        assert source_text({"kind": "period", "from": "a", "to": "b"}) == "the exchanges from a to b"

    def test_a_number_is_told_by_its_median(self) -> None:
        before = DriftFigures(n=900, mean=1.0, p10=0.5, p50=1.0, p90=2.0)
        since = DriftFigures(n=1, mean=4.0, p10=4.0, p50=4.0, p90=4.0)
        told = DriftExplanation(kind="number", exchanges_since=1, direction="up", before=before, since=since)
        at = datetime(2026, 11, 21, tzinfo=UTC)
        episode = DriftEpisode(
            id="e", monitor_id=1, place_id=1, monitor="latency_ms", at=at, view="up", explanation=told
        )
        assert "The median was 1 in 900 exchanges before and is 4 in 1 exchange since" in tell_change(episode)


class TestCharts:
    def test_a_statistic_of_nothing_is_drawn_at_the_edge(self) -> None:
        reference = DriftVersion(id="r", version=1)
        rows = [
            DriftMonitor(
                monitor_id=n, place_id=1, monitor="prompt", state="watching", reference=reference, statistic=value,
                threshold=100.0,
            )
            for n, value in enumerate([0.0, 50.0])
        ]  # fmt: skip
        frame = monitors_to_frame(rows, ["a", "b"], ["Watching", "Watching"])
        assert list(frame["share"]) == [LEAST_SHARE, 0.5]

    def test_the_map_leaves_out_points_without_place(self) -> None:
        frame = map_to_frame(DriftMap(reference=((0.0, 1.0), (1.0,)), current=((2.0, 3.0),)))
        assert list(frame["side"]) == ["usual", "since the change"]


class TestIncident:
    def test_it_leads_to_what_changed_and_to_the_report(
        self, open_console: Console, fake_module: Any, answers: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        api = fake_module.FakeApi()
        shown = api.story.incident()
        body = {"episode_id": "e1", "monitor": "response"}
        entry = {"at": shown["opened_at"], "actor": "drift-monitor", "body": body}
        shown["timeline"] += [entry | {"kind": "drift.alarm"}, entry | {"kind": "drift.report"}]
        monkeypatch.setattr(api.story, "incident", lambda: shown)
        app = open_console("incident", api, id=answers.INCIDENT_ID)
        links = [node.proto.label for node in app.main if node.type == "page_link"]
        assert "What changed\\: responses" in links
        assert "Evidently report\\: responses" in links
