"""Looking at the console as a person does: a headless Chromium that reports everything it should not have to."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, Request, expect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--force-prefers-reduced-motion",
]
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
TIMEOUT_MS = 30_000
# Streamlit's page looks for its own back-end below a page's address first; these two answers are meant to be 404.
PROBES = ("/_stcore/health", "/_stcore/host-config")


def find_chromium(playwright: Playwright) -> str | None:
    """Return the path of a Chromium of the system, or of the one Playwright has downloaded; None when there is none."""
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return found
    bundled = playwright.chromium.executable_path
    return bundled if bundled and Path(bundled).exists() else None


@dataclass
class Findings:
    """What went wrong behind a page: requests to elsewhere, messages on the browser's console, and uncaught errors."""

    foreign: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def is_clean(self) -> bool:
        """Return whether nothing was found."""
        return not (self.foreign or self.messages or self.errors)


def open_page(
    browser: Browser, console_url: str, *, size: str = "desktop", theme: str = "light"
) -> tuple[Page, Findings]:
    """Return a new page of a fresh session and what is found while it is used; requests to elsewhere are blocked."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
    )
    context.set_default_timeout(TIMEOUT_MS)
    findings = Findings()
    home = urlsplit(console_url).netloc

    def watch_request(request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != home:
            findings.foreign.append(request.url)

    def watch_message(message: ConsoleMessage) -> None:
        location = urlsplit(str(message.location.get("url", "")))
        if message.type == "error" and not location.path.endswith(PROBES):
            findings.messages.append(message.text)

    context.route(lambda url: urlsplit(url).netloc not in ("", home), lambda route: route.abort())
    page = context.new_page()
    page.on("request", watch_request)
    page.on("console", watch_message)
    page.on("pageerror", lambda error: findings.errors.append(str(error)))
    return page, findings


def settle(page: Page) -> None:
    """Wait until Streamlit is connected, its script has ended, and charts and tables are drawn.

    Nothing here evaluates a string in the page's own world: the console's policy forbids it.
    """
    page.wait_for_selector('[data-testid="stApp"][data-test-connection-state="CONNECTED"]')
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    page.wait_for_selector('[data-testid="stMain"] h1')
    page.evaluate("document.fonts.ready.then(() => true)")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")


def photograph(page: Page, path: Path) -> None:
    """Save a picture of the whole page, not only of what fits the window."""
    size = page.viewport_size
    assert size is not None
    height = int(page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight"))
    page.set_viewport_size({"width": size["width"], "height": max(size["height"], min(height + 16, 4_000))})
    settle(page)
    # Charts and tables follow a change of size with a delay of their own, which nothing announces.
    page.wait_for_timeout(600)
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path)
    page.set_viewport_size(size)
