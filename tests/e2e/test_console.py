"""Every page of the console in a real browser, before the real server and its demo traffic."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from custodes_sdk import Client

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

_HOUR = timedelta(hours=1)
DRAFT = """\
apiVersion: custodes/v1
kind: Policy
id: toxic-answers
owner: risk@example.org
severity: high
scope: {environment: demo}
signals:
  tox_rate: {metric: toxicity, agg: rate_above(0.5), window: 10m}
  n:        {metric: toxicity, agg: count, window: 10m}
group_by: [service, deployment]
when:  "n >= 20.0 && tox_rate > 0.10"
clear: "tox_rate < 0.05"
keep_firing_for: 5m
no_data: ok
tests:
  - {name: fires, step: 1m, series: {tox_rate: "0.4x2", n: "30x2"}, expect: [{at: 0m, state: firing}]}
"""
SERVICE = "hr-assistant"
PICTURES = Path(__file__).parent / "screenshots"
PAGES = [
    "overview",
    "traces",
    "trace",
    "incidents",
    "incident",
    "actions",
    "action",
    "reviews",
    "fairness",
    "drift",
    "change",
    "silences",
    "endpoints",
    "policies",
    "policy",
    "approvals",
    "audit",
    "entry",
]


@pytest.fixture(scope="module")
def addresses(api_url: str) -> dict[str, str]:
    """The path of every page, with ids that the running demo has."""
    with Client(api_url) as client:
        incident = next(one for one in client.incidents(state="all").rows if one.policy_id == "toxic-answers")
        (drifting,) = [one for one in client.drift(state="drift", monitor="response").rows if one.service == SERVICE]
        assert drifting.episode is not None
        action = client.actions().rows[0]
        client.create_silence(
            {"policy": "nothing-is-called-like-this"}, reason="shown in a picture", ends_at=datetime.now(UTC) + _HOUR
        )
        draft = client.submit_policy(DRAFT)
        client.run_backtest(draft.id, draft.version, start="now-1d")
        traces = client.traces(metric="hallucination", minimum=0.3, limit=1).rows or client.traces(limit=1).rows
    return {
        "overview": "/",
        "traces": "/traces",
        "trace": f"/trace?id={traces[0].trace_id}",
        "incidents": "/incidents",
        "incident": f"/incident?id={incident.id}",
        "actions": "/actions",
        "action": f"/action?id={action.id}",
        "reviews": "/reviews",
        "fairness": "/fairness",
        "drift": "/drift",
        "change": f"/drift?episode={drifting.episode.id}",
        "silences": "/silences",
        "endpoints": "/endpoints",
        "policies": "/policies",
        "policy": f"/policy?id={incident.policy_id}",
        "approvals": "/approvals",
        "audit": "/audit",
        "entry": "/audit?seq=0",
    }


def tiles(page: Page) -> Iterator[str]:
    for name in ("stException", "stAlertContentError"):
        for found in page.get_by_test_id(name).all():
            yield found.inner_text()


class TestEveryPage:
    @pytest.mark.parametrize(("size", "theme"), [("desktop", "light"), ("desktop", "dark"), ("phone", "dark")])
    @pytest.mark.parametrize("name", PAGES)
    def test_it_opens_without_any_error(
        self,
        browser: Browser,
        looking: ModuleType,
        console_url: str,
        addresses: dict[str, str],
        name: str,
        size: str,
        theme: str,
    ) -> None:
        page, findings = looking.open_page(browser, console_url, size=size, theme=theme)
        page.goto(console_url + addresses[name])
        looking.settle(page)
        looking.photograph(page, PICTURES / f"{name}-{size}-{theme}.png")
        assert list(tiles(page)) == []
        assert findings.is_clean(), findings
        assert page.locator("[data-testid=stMain] h1").count() == 1
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, "the page is wider than the window"


class TestJourneys:
    def test_it_opens_a_trace_by_its_row(self, browser: Browser, looking: ModuleType, console_url: str) -> None:
        page, _ = looking.open_page(browser, console_url)
        page.goto(f"{console_url}/traces")
        looking.settle(page)
        # The table is drawn on a canvas, so its first row is a place: below the header of 35 pixels.
        table = page.get_by_test_id("stDataFrame").bounding_box()
        assert table is not None
        page.mouse.click(table["x"] + 60, table["y"] + 54)
        page.wait_for_url("**/trace?id=*")
        expect(page.get_by_role("heading", name="Verdict").first).to_be_visible()

    def test_it_leads_from_a_webhook_link_to_the_incident_and_on_to_its_audit_entry(
        self, browser: Browser, looking: ModuleType, console_url: str, addresses: dict[str, str]
    ) -> None:
        page, findings = looking.open_page(browser, console_url)
        page.goto(f"{console_url}/go?to={addresses['incident'].replace('?', '%3F').replace('=', '%3D')}")
        looking.settle(page)
        expect(page.get_by_role("heading", name="What happened")).to_be_visible()
        page.get_by_role("link", name="No. ").first.click()
        expect(page.get_by_role("heading", name="Inclusion proof")).to_be_visible()
        assert findings.is_clean(), findings

    def test_it_verifies_the_audit_log(self, browser: Browser, looking: ModuleType, console_url: str) -> None:
        page, findings = looking.open_page(browser, console_url)
        page.goto(f"{console_url}/audit")
        looking.settle(page)
        page.get_by_role("button", name="Verify the whole log").click()
        expect(page.get_by_text("The log is intact")).to_be_visible()
        expect(page.get_by_text("custodes audit verify").first).to_be_visible()
        looking.photograph(page, PICTURES / "audit-verified-desktop-light.png")
        assert findings.is_clean(), findings

    def test_it_takes_an_incident_over_and_shows_who_has_it(
        self, browser: Browser, looking: ModuleType, console_url: str, addresses: dict[str, str]
    ) -> None:
        page, findings = looking.open_page(browser, console_url)
        page.goto(console_url + addresses["incident"])
        looking.settle(page)
        page.get_by_text("Add a note").click()
        page.get_by_role("textbox", name="Note").fill("Looked at in a browser.")
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_text("The note is on the timeline.")).to_be_visible()
        expect(page.get_by_text("Looked at in a browser.").first).to_be_visible()
        assert findings.is_clean(), findings

    def test_it_shows_a_reviewer_what_a_draft_would_have_done(
        self, browser: Browser, looking: ModuleType, console_url: str, addresses: dict[str, str]
    ) -> None:
        page, findings = looking.open_page(browser, console_url)
        page.goto(f"{console_url}/approvals")
        looking.settle(page)
        page.get_by_role("link", name="toxic-answers").first.click()
        expect(page.get_by_role("heading", name="Against the active version")).to_be_visible()
        expect(page.get_by_text("Would fire")).to_be_visible()
        looking.settle(page)
        looking.photograph(page, PICTURES / "review-desktop-light.png")
        assert findings.is_clean(), findings

    def test_it_keeps_filters_in_the_address(self, browser: Browser, looking: ModuleType, console_url: str) -> None:
        page, _ = looking.open_page(browser, console_url)
        page.goto(f"{console_url}/traces?service=support-bot&metric=Toxicity&range=1h")
        looking.settle(page)
        expect(page.get_by_role("textbox", name="Service")).to_have_value("support-bot")
        page.get_by_role("textbox", name="Search").fill("nothing-is-called-like-this")
        page.get_by_role("textbox", name="Search").press("Enter")
        expect(page.get_by_text("No trace matches")).to_be_visible()
        assert "q=nothing-is-called-like-this" in page.url
        assert "service=support-bot" in page.url

    def test_it_refreshes_itself(self, browser: Browser, looking: ModuleType, console_url: str) -> None:
        page, findings = looking.open_page(browser, console_url)
        page.goto(console_url)
        looking.settle(page)
        stamp = page.get_by_text("Updated ").first
        before = stamp.inner_text()
        expect(stamp).not_to_have_text(before, timeout=40_000)
        assert findings.is_clean(), findings


class TestDemo:
    def test_drift_of_one_service_is_found_and_a_quiet_one_is_left_alone(
        self, demo: Any, looking: ModuleType, browser: Browser, addresses: dict[str, str]
    ) -> None:
        with Client(demo.api_url) as client:
            rows = client.drift().rows
            (opened,) = [one for one in client.incidents(state="all").rows
                         if one.policy_id == "drift-monitor" and one.group.get("service") == SERVICE]  # fmt: skip
        states = {(row.deployment, row.monitor): row.state for row in rows}
        assert states["hr-assistant-v3", "prompt"] == states["hr-assistant-v3", "response"] == "drift"
        assert states["support-bot-v7", "prompt"] == states["support-bot-v7", "response"] == "watching"
        page, findings = looking.open_page(browser, demo.console_url)
        page.goto(f"{demo.console_url}/incident?id={opened.id}")
        looking.settle(page)
        page.get_by_role("link", name="What changed: responses").click()
        expect(page.get_by_role("heading", name="What changed")).to_be_visible()
        expect(page.get_by_text("This change is expected").first).to_be_visible()
        assert findings.is_clean(), findings

    def test_the_toxic_deployment_opens_an_incident_and_a_webhook_arrives_in_time(
        self, demo: Any, looking: ModuleType, browser: Browser
    ) -> None:
        # Two minutes on a machine of its own; here the other half of the tests takes its share.
        deadline = demo.up_s + 240
        opened: list[str] = []
        with Client(demo.api_url) as client:
            while not opened and time.time() < deadline:
                rows = client.incidents(state="all").rows
                opened = [
                    row.id
                    for row in rows
                    if row.policy_id == "toxic-answers" and row.opened_at.timestamp() > demo.up_s - 60
                ]
                threading.Event().wait(0.5)
        assert opened, demo.log.read_text()
        while f"id%3D{opened[0]}" not in demo.log.read_text() and time.time() < deadline:
            threading.Event().wait(0.5)
        told = [line for line in demo.log.read_text().splitlines() if f"id%3D{opened[0]}" in line]
        assert told
        assert "webhook incident.opened (signature verified)" in told[0]
        page, findings = looking.open_page(browser, demo.console_url)
        page.goto(told[0].split("): ", 1)[1])
        looking.settle(page)
        expect(page.get_by_role("heading", name="toxic-answers")).to_be_visible()
        assert findings.is_clean(), findings
