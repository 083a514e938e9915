"""Wrong passwords close the door for the one who types them, not for the ward."""

import re
import time
from threading import Event

import pytest
from allauth.core.internal import ratelimit
from django.contrib.auth import hashers
from django.core.cache import cache
from django.core.mail import EmailMessage
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import audit, mailing
from accounts.models import User
from tests.accounts.helpers import is_logged_in, log_in
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
WARD, ELSEWHERE = "192.0.2.1", "192.0.2.2"
NOBODY = "nobody@riverside.example"
STATEMENT = re.compile(r"^[A-Z]+|(?:FROM|INTO|UPDATE) \"\w+\"")


def at(address: str) -> Client:
    return Client(REMOTE_ADDR=address)


def fail(address: str, email: str, times: int) -> list[int]:
    return [log_in(at(address), email, "wrong").status_code for _ in range(times)]


def test_the_ninth_wrong_password_is_429_and_the_right_one_too(doctor: User) -> None:
    assert fail(WARD, doctor.email, 9) == [200] * 8 + [429]
    client = at(WARD)
    answer = log_in(client, doctor.email)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "900"
    assert "Too many failed" in answer.content.decode()
    assert not is_logged_in(client)


def test_a_colleague_behind_the_same_address_still_logs_in(doctor: User, colleague: User) -> None:
    fail(WARD, doctor.email, 10)
    client = at(WARD)
    log_in(client, colleague.email)
    assert is_logged_in(client)


def test_the_same_user_still_logs_in_from_elsewhere(doctor: User) -> None:
    fail(WARD, doctor.email, 10)
    client = at(ELSEWHERE)
    log_in(client, doctor.email)
    assert is_logged_in(client)


def test_the_lockout_ends_after_fifteen_minutes(doctor: User, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(WARD, doctor.email, 9)
    now = time.time()
    monkeypatch.setattr(ratelimit.time, "time", lambda: now + 901)
    client = at(WARD)
    log_in(client, doctor.email)
    assert is_logged_in(client)


def test_guesses_from_many_addresses_are_stopped_and_the_users_own_ward_is_not(doctor: User) -> None:
    log_in(at(WARD), doctor.email)
    guesses = [fail(f"198.51.100.{number}", doctor.email, 8) for number in range(6)]
    assert guesses[4] == [200] * 8
    assert guesses[5] == [429] * 8
    assert log_in(at("198.51.100.77"), doctor.email).status_code == 429
    client = at(WARD)
    log_in(client, doctor.email)
    assert is_logged_in(client)


def test_right_passwords_do_not_count(doctor: User) -> None:
    for _ in range(12):
        assert log_in(at(WARD), doctor.email).status_code == 302


def hashings_and_queries(monkeypatch: pytest.MonkeyPatch, path: str, form: dict[str, str]) -> tuple[int, list[str]]:
    """How many passwords a request hashes, and the statements that it sends: what its time is made of."""
    count = 0
    encode = hashers.MD5PasswordHasher.encode

    def counted(self: hashers.MD5PasswordHasher, password: str, salt: str) -> str:
        nonlocal count
        count += 1
        return encode(self, password, salt)

    cache.clear()
    client = Client()
    client.get(path)
    with monkeypatch.context() as patch, CaptureQueriesContext(connection) as queries:
        patch.setattr(hashers.MD5PasswordHasher, "encode", counted)
        client.post(path, form)
    return count, [" ".join(STATEMENT.findall(query["sql"])) for query in queries]


@pytest.mark.parametrize("kind", ["known", "invited", "disabled"])
def test_an_unknown_address_costs_what_a_known_one_does(doctor: User, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    users = {
        "known": doctor,
        "invited": UserFactory.create(password=None),
        "disabled": UserFactory.create(is_active=False),
    }
    path = reverse("account_login")
    audit.record(audit.Action.LOGIN, actor=doctor)  # the log's first entry costs more than any other
    known = hashings_and_queries(monkeypatch, path, {"login": users[kind].email, "password": "wrong"})
    unknown = hashings_and_queries(monkeypatch, path, {"login": NOBODY, "password": "wrong"})
    assert known == unknown
    assert known[0] == 1


@pytest.mark.parametrize("kind", ["known", "invited"])
def test_a_reset_for_an_unknown_address_costs_what_one_for_a_known_does(
    doctor: User, monkeypatch: pytest.MonkeyPatch, mailoutbox: list[EmailMessage], kind: str
) -> None:
    email = doctor.email if kind == "known" else UserFactory.create(password=None).email
    path = reverse("account_reset_password")
    known = hashings_and_queries(monkeypatch, path, {"email": email})
    assert len(mailoutbox) == 1
    unknown = hashings_and_queries(monkeypatch, path, {"email": NOBODY})
    assert known == unknown
    assert len(mailoutbox) == 1


def test_a_locked_unknown_address_looks_like_a_locked_known_one(doctor: User) -> None:
    assert fail(WARD, doctor.email, 9) == fail(WARD, NOBODY, 9)
    known, unknown = (log_in(at(WARD), email, "wrong").context["form"].errors for email in (doctor.email, NOBODY))
    assert known == unknown


def test_a_reset_answers_before_the_mail_server_does(doctor: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page must be there while the mail still waits: its time would tell that the address is known."""
    sent, may_send = Event(), Event()
    monkeypatch.undo()

    class SlowConnection:
        def send_messages(self, messages: list[EmailMessage]) -> int:
            may_send.wait(10)
            sent.set()
            return len(messages)

    monkeypatch.setattr(mailing, "get_connection", SlowConnection)
    answer = Client().post(reverse("account_reset_password"), {"email": doctor.email})
    assert answer.status_code == 302
    assert not sent.is_set()
    may_send.set()
    assert sent.wait(10)


def test_a_reset_answers_known_and_unknown_alike(doctor: User) -> None:
    known, unknown = (Client().post(reverse("account_reset_password"), {"email": email}) for email in (doctor.email, NOBODY))
    assert (known.status_code, known.headers["Location"]) == (unknown.status_code, unknown.headers["Location"])


def test_invalid_tokens_are_slowed_down_by_address_and_a_valid_one_is_not(doctor: User) -> None:
    from accounts.tokens import create_api_token

    _, valid = create_api_token(user=doctor)
    path = "/api/v1/cases/00000000-0000-0000-0000-000000000000"
    answers = [at(WARD).get(path, headers={"Authorization": f"Bearer guess{number}"}) for number in range(31)]
    assert [answer.status_code for answer in answers] == [401] * 30 + [429]
    assert answers[-1].json()["code"] == "TOO_MANY_ATTEMPTS"
    assert at(WARD).get(path, headers={"Authorization": f"Bearer {valid}"}).status_code == 404
    assert at(ELSEWHERE).get(path, headers={"Authorization": "Bearer guess"}).status_code == 401
