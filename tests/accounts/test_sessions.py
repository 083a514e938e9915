"""Sessions end by themselves: idle ones, old ones, and those of users whose access or password changed."""

import time
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from accounts import sessions
from accounts.models import AuditEvent, User
from accounts.users import deactivate_users
from tests.accounts.helpers import is_logged_in, log_in
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
Later = Callable[[float], None]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Turns the clock of the sessions on by so many seconds."""
    offset = 0.0

    def turn(seconds: float) -> None:
        nonlocal offset
        offset += seconds

    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + offset)
    return turn


@pytest.fixture
def browser(client: Client, doctor: User) -> Client:
    log_in(client, doctor.email)
    return client


def test_a_session_ends_after_fifteen_minutes_without_activity(browser: Client, later: Later) -> None:
    later(899)
    assert is_logged_in(browser)
    later(901)
    assert not is_logged_in(browser)


def test_activity_puts_the_end_off(browser: Client, later: Later) -> None:
    for _ in range(5):
        later(600)
        assert is_logged_in(browser)


@pytest.mark.parametrize("name", ["diagnostics:live", "diagnostics:delay", "accounts:session"])
def test_polling_does_not_keep_a_session_alive(browser: Client, later: Later, name: str) -> None:
    for _ in range(9):
        later(100)
        answer = browser.get(reverse(name), headers=HTMX)
    assert answer.status_code == 401
    assert not is_logged_in(browser)


def test_somebody_who_says_so_is_there(browser: Client, later: Later) -> None:
    later(850)
    assert browser.get(reverse("accounts:session")).json() == {"seconds": 50, "final": False}
    assert browser.post(reverse("accounts:session")).json()["seconds"] == 900
    later(850)
    assert is_logged_in(browser)


def test_twelve_hours_after_log_in_it_is_over_whatever_was_done(browser: Client, later: Later) -> None:
    for _ in range(72):
        later(598)
        assert is_logged_in(browser)
    assert browser.get(reverse("accounts:session")).json()["final"] is True
    later(200)
    assert not is_logged_in(browser)


def test_the_time_starts_anew_with_a_new_log_in(browser: Client, doctor: User, later: Later) -> None:
    later(40_000)
    assert not is_logged_in(browser)
    log_in(browser, doctor.email)
    later(800)
    assert is_logged_in(browser)


def test_zero_means_never_for_idleness_and_not_for_age(browser: Client, later: Later, settings: Settings) -> None:
    settings.SESSION_IDLE_SECONDS = 0
    later(43_000)
    assert is_logged_in(browser)
    later(300)
    assert not is_logged_in(browser)


def test_the_log_in_page_says_why_and_leads_back(browser: Client, later: Later) -> None:
    later(1000)
    answer = browser.get(reverse("accounts:profile"), follow=True)
    assert answer.redirect_chain == [("/accounts/login/?next=/accounts/profile/&ended=1", 302)]
    assert "You were logged out" in answer.content.decode()


def test_scripts_get_401_and_never_a_log_in_page(client: Client) -> None:
    for headers in (HTMX, {"Accept": "application/json"}):
        answer = client.get(reverse("diagnostics:worklist"), headers=headers)
        assert answer.status_code == 401
        assert answer.json()["code"] == "LOGGED_OUT"


def test_an_ended_session_is_in_the_audit_log(browser: Client, doctor: User, later: Later) -> None:
    later(1000)
    is_logged_in(browser)
    entry = AuditEvent.objects.get(action="sessions_ended")
    assert entry.actor == doctor
    assert entry.details == {"reason": "idle"}


def test_a_session_writes_itself_twice_a_minute_at_most(browser: Client, later: Later) -> None:
    before = browser.session[sessions.ACTIVE]
    later(10)
    is_logged_in(browser)
    assert browser.session[sessions.ACTIVE] == before
    later(25)
    is_logged_in(browser)
    assert browser.session[sessions.ACTIVE] > before


def test_disabling_a_user_ends_the_session(browser: Client, doctor: User) -> None:
    deactivate_users(users=User.objects.filter(pk=doctor.pk))
    assert not is_logged_in(browser)


def test_a_changed_password_ends_other_sessions_and_not_this_one(browser: Client, doctor: User) -> None:
    other = Client()
    log_in(other, doctor.email)
    new = "nine patient herons"
    browser.post(reverse("account_change_password"), {"oldpassword": PASSWORD, "password1": new, "password2": new}, follow=True)
    assert is_logged_in(browser)
    assert not is_logged_in(other)


def test_logging_out_elsewhere_keeps_this_browser(browser: Client, doctor: User) -> None:
    other = Client()
    log_in(other, doctor.email)
    browser.post(reverse("accounts:log_out_elsewhere"))
    assert is_logged_in(browser)
    assert not is_logged_in(other)
