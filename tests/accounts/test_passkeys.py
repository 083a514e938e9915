"""Passkeys in a real browser with a virtual authenticator: allauth's scripts, our pages and the strict policy together."""

from collections.abc import Iterator

import pytest
from allauth.mfa.models import Authenticator
from playwright.sync_api import Page, expect, sync_playwright
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from tests.factories import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
CHROMIUM = "/usr/bin/chromium"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture
def page(live_server: LiveServer, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A browser with a platform authenticator; it fails the test on anything that the policy blocked."""
    settings.LOGIN_REDIRECT_URL = "accounts:profile"
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright's loop runs in this thread
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(base_url=live_server.url)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        devtools = page.context.new_cdp_session(page)
        devtools.send("WebAuthn.enable")
        devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
        yield page
        browser.close()
    assert complaints == []


def log_in(page: Page, user: User) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Email").fill(user.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()


def add_key(page: Page, *, passwordless: bool) -> None:
    page.goto("/accounts/2fa/webauthn/add/")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    page.get_by_label("Name").fill("Test key")
    page.get_by_label("Log in with this key alone").set_checked(passwordless)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()


def log_out(page: Page) -> None:
    page.goto("/accounts/logout/")
    page.get_by_role("main").get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_passkey_logs_in_without_a_password(page: Page, doctor: User) -> None:
    log_in(page, doctor)
    add_key(page, passwordless=True)
    log_out(page)
    page.get_by_role("button", name="Log in with a passkey").click()
    expect(page.get_by_role("heading", name="Profile and security")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text(doctor.email)


def test_a_security_key_is_the_second_step_after_the_password(page: Page, doctor: User) -> None:
    log_in(page, doctor)
    add_key(page, passwordless=False)
    log_out(page)
    log_in(page, doctor)
    expect(page.get_by_role("heading", name="Second step")).to_be_visible()
    page.get_by_role("button", name="Use a passkey or security key").click()
    expect(page.get_by_role("heading", name="Profile and security")).to_be_visible()


def test_a_removed_passkey_no_longer_logs_in(page: Page, doctor: User) -> None:
    log_in(page, doctor)
    add_key(page, passwordless=True)
    log_out(page)
    Authenticator.objects.filter(user=doctor, type=Authenticator.Type.WEBAUTHN).delete()
    page.get_by_role("button", name="Log in with a passkey").click()
    expect(page.locator(".note-error", has_text="was not accepted")).to_be_visible()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_passkey_that_cannot_be_used_is_explained_in_words(page: Page, live_server: LiveServer) -> None:
    page.goto(live_server.url.replace("localhost", "127.0.0.1") + "/accounts/login/")
    page.get_by_role("button", name="Log in with a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("by its name")
