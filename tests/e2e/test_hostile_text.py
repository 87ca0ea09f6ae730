"""The console in a browser before a server that is hostile, strict, empty or gone."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
INCIDENT = "01934f2a-7c1e-7b1a-9a55-3f6f1f0c2b10"
PATHS = ["/", "/traces", f"/trace?id={TRACE}", "/incidents", f"/incident?id={INCIDENT}", "/audit", "/audit?seq=18230"]
Start = Callable[[Any], str]


class TestHostileText:
    def test_it_calls_nobody_and_becomes_no_link_no_image_and_no_script(
        self, browser: Browser, looking: ModuleType, fake_console: Start, fake_module: ModuleType
    ) -> None:
        hostile = fake_module.answers.HOSTILE
        url = fake_console(fake_module.FakeApi(text=hostile, name=hostile))
        for path in PATHS:
            page, findings = looking.open_page(browser, url)
            page.goto(url + path)
            looking.settle(page)
            if path.startswith("/trace?"):
                for tab in page.get_by_role("tab").all():
                    tab.click()
                    page.wait_for_timeout(150)
            page.mouse.wheel(0, 4_000)
            page.wait_for_timeout(300)
            assert findings.is_clean(), (path, findings)
            for selector in ("a[href*='canary']", "img[src*='canary']", "[data-testid=stMain] script", ".katex"):
                assert page.locator(selector).count() == 0, (path, selector)
            page.close()

    def test_it_shows_the_text_itself_with_its_hidden_characters(
        self, browser: Browser, looking: ModuleType, fake_console: Start, fake_module: ModuleType
    ) -> None:
        url = fake_console(fake_module.FakeApi(text=fake_module.answers.HOSTILE))
        page, _ = looking.open_page(browser, url)
        page.goto(f"{url}/trace?id={TRACE}")
        looking.settle(page)
        expect(page.get_by_text("contains 4 hidden characters").first).to_be_visible()
        expect(page.locator("code", has_text="<U+202E>gnp.exe").first).to_be_visible()


class TestSignIn:
    def test_it_opens_the_linked_incident_after_signing_in(
        self, browser: Browser, looking: ModuleType, fake_console: Start, fake_module: ModuleType
    ) -> None:
        api = fake_module.FakeApi(dev=False)
        url = fake_console(api)
        page, findings = looking.open_page(browser, url)
        page.goto(f"{url}/go?to=%2Fincident%3Fid%3D{INCIDENT}")
        looking.settle(page)
        page.get_by_label("API key").fill("secret-key")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Toxicity above its limit on support-bot-v7")).to_be_visible()
        assert "secret-key" not in page.url
        assert findings.is_clean(), findings
        api.key = "another"
        page.get_by_test_id("stSidebarNav").get_by_text("Traces").click()
        expect(page.get_by_text("Your session has ended")).to_be_visible()


class TestServerGone:
    def test_it_keeps_the_menu_says_what_is_wrong_and_comes_back(
        self, browser: Browser, looking: ModuleType, fake_console: Start, fake_module: ModuleType
    ) -> None:
        api = fake_module.FakeApi(fail={"/": 503})
        url = fake_console(api)
        page, findings = looking.open_page(browser, url)
        page.goto(url)
        page.get_by_text("Monitoring server unreachable").wait_for()
        expect(page.get_by_test_id("stSidebarNav").get_by_text("Traces")).to_be_visible()
        api.fail.clear()
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        assert findings.is_clean(), findings


class TestDoor:
    def test_it_redirects_to_pages_only_and_protects_every_answer(
        self, fake_console: Start, fake_module: ModuleType
    ) -> None:
        url = fake_console(fake_module.FakeApi())
        with httpx.Client(base_url=url, trust_env=False) as client:
            led = client.get("/go", params={"to": "/incident?id=1"})
            assert (led.status_code, led.headers["location"]) == (302, "/incident?id=1")
            assert client.get("/go", params={"to": "//evil.example"}).status_code == 400
            for path in ("/", "/incident", "/_stcore/health", "/static/nothing.js", "/go"):
                headers = client.get(path).headers
                assert "frame-ancestors 'none'" in headers["content-security-policy"], path
                assert headers["x-content-type-options"] == "nosniff", path
