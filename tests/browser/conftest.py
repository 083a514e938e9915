"""A real Chromium on the running portal. Every page is watched: a blocked style, script or request fails the test."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.accounts.helpers import totp_code
from tests.portal import Portal

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
# What Chromium and htmx log for an answer of 4xx or a cut line; the tests look at those themselves
SEEN_BY_DESIGN = ("Failed to load resource", "Response Status Error Code", "htmx:")


@dataclass
class Reader:
    """Somebody at a browser of their own."""

    page: Page
    portal: Portal

    def log_in(self, who: str = "doctor") -> "Reader":
        self.go("/accounts/login/")
        self.page.fill("input[name=login]", self.portal.logins[who]["email"])
        self.page.fill("input[name=password]", self.portal.logins[who]["password"])
        self.page.click("main button[type=submit]")
        if secret := self.portal.logins[who].get("totp_secret"):
            self.page.fill("input[name=code]", totp_code(secret))
            self.page.click("main button[type=submit]")
        self.page.wait_for_url("**/cases/**")
        return self

    def go(self, path: str) -> int:
        """Open a page; its status."""
        answer = self.page.goto(path if path.startswith("http") else self.portal.url + path)
        assert answer is not None
        return answer.status


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Closed with this package: Playwright's event loop would forbid the database to the tests after it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_browser(chromium: Browser, portal: Portal) -> Iterator[Callable[..., Reader]]:
    """Make readers; at the end, nothing may have been blocked or thrown in any of their pages."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def watch(message: ConsoleMessage) -> None:
        policy = "Content Security Policy" in message.text
        if policy or (message.type == "error" and not message.text.startswith(SEEN_BY_DESIGN)):
            problems.append(message.text)

    def make(*, viewport: dict[str, int] = DESK, scripts: bool = True, reduced_motion: bool = True) -> Reader:
        context = chromium.new_context(
            viewport={"width": viewport["width"], "height": viewport["height"]},
            java_script_enabled=scripts,
            reduced_motion="reduce" if reduced_motion else "no-preference",
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", watch)
        page.on("pageerror", lambda error: problems.append(str(error)))
        return Reader(page, portal)

    yield make
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def doctor_at(open_browser: Callable[..., Reader]) -> Reader:
    """The demo doctor, logged in at a desk."""
    return open_browser().log_in("doctor")


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files to drop: three films that no other test uploads, and one that is no film."""
    from diagnostics import phantom

    folder = tmp_path_factory.mktemp("films")
    content = {
        "one.jpg": phantom.encode_jpeg(phantom.draw_film(seed=901)),
        "two 😀.png": phantom.encode_png(phantom.draw_film(seed=902)),
        "three.dcm": phantom.encode_dicom(phantom.draw_film(seed=903, opacity=phantom.Opacity())),
        "notes.jpg": b"These are only words.",
    }
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in content}
