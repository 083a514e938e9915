"""A database that is away for a moment is 503 and says so; a fault of ours stays 500."""

from unittest import mock

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from accounts.models import User

SECRET = "server closed the connection: patient Müller"
AWAY = [OperationalError(SECRET), InterfaceError(SECRET)]


@pytest.fixture
def browser(client: Client, doctor: User) -> Client:
    client.force_login(doctor)
    client.raise_request_exception = False
    return client


@pytest.mark.parametrize("error", AWAY, ids=["operational", "interface"])
@pytest.mark.parametrize(
    "place", ["diagnostics.querysets.CaseQuerySet.visible_to", "django.contrib.sessions.backends.db.SessionStore.load"]
)
def test_a_page_without_its_database_is_503_wherever_it_was_missed(browser: Client, place: str, error: Exception) -> None:
    with mock.patch(place, side_effect=error):
        answer = browser.get("/cases/")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "Nothing was saved" in answer.content.decode()
    assert "Müller" not in answer.content.decode()


def test_the_page_that_says_so_asks_the_database_nothing(browser: Client, django_assert_num_queries: mock.Mock) -> None:
    with mock.patch("django.contrib.sessions.backends.db.SessionStore.load", side_effect=AWAY[0]), django_assert_num_queries(0):
        assert browser.get("/cases/").status_code == 503


def test_a_script_is_told_by_a_code(browser: Client) -> None:
    with mock.patch("diagnostics.querysets.CaseQuerySet.visible_to", side_effect=AWAY[0]):
        answer = browser.get("/cases/", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")


def test_a_fault_of_ours_is_500(browser: Client) -> None:
    with mock.patch("diagnostics.querysets.CaseQuerySet.visible_to", side_effect=ValueError(SECRET)):
        answer = browser.get("/cases/")
    assert answer.status_code == 500
    assert "Müller" not in answer.content.decode()
