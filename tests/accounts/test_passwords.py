from smtplib import SMTPServerDisconnected

import pytest
from django.core.mail import EmailMessage
from django.test import Client
from django.urls import reverse

from accounts.models import User
from tests.accounts.helpers import NEW_PASSWORD, is_logged_in, log_in, only_link
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db


def ask_for_a_link(client: Client, email: str) -> str:
    answer = client.post(reverse("account_reset_password"), {"email": email}, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def set_password(client: Client, link: str, password: str = NEW_PASSWORD) -> str:
    form_page = client.get(link, follow=True)
    form = {"password1": password, "password2": password}
    return client.post(form_page.request["PATH_INFO"], form, follow=True).content.decode()


def test_a_reset_link_sets_a_new_password(client: Client, doctor: User, mailoutbox: list[EmailMessage]) -> None:
    ask_for_a_link(client, doctor.email)
    assert "Your password is changed" in set_password(client, only_link(mailoutbox[0].body))
    log_in(client, doctor.email, NEW_PASSWORD)
    assert is_logged_in(client)


def test_a_reset_link_works_once(client: Client, doctor: User, mailoutbox: list[EmailMessage]) -> None:
    ask_for_a_link(client, doctor.email)
    link = only_link(mailoutbox[0].body)
    set_password(client, link)
    assert "does not work any more" in client.get(link, follow=True).content.decode()


def test_a_forged_reset_link_is_refused(client: Client, doctor: User) -> None:
    forged = reverse("account_reset_password_from_key", args=[doctor.pk.hex, "abc123-0123456789abcdef"])
    assert "does not work any more" in client.get(forged).content.decode()


def test_a_reset_ends_every_session(client: Client, as_doctor: Client, doctor: User, mailoutbox: list[EmailMessage]) -> None:
    ask_for_a_link(client, doctor.email)
    set_password(client, only_link(mailoutbox[0].body))
    assert not is_logged_in(as_doctor)


def test_the_reset_page_does_not_tell_who_has_a_log_in(client: Client, doctor: User, mailoutbox: list[EmailMessage]) -> None:
    known = ask_for_a_link(client, doctor.email)
    assert ask_for_a_link(client, "nobody@riverside.example") == known
    assert [mail.to for mail in mailoutbox] == [[doctor.email]]


def test_a_deactivated_user_gets_no_reset_link(client: Client, mailoutbox: list[EmailMessage]) -> None:
    ask_for_a_link(client, UserFactory.create(is_active=False).email)
    assert not mailoutbox


def test_a_mail_server_that_is_down_neither_breaks_the_page_nor_tells_who_is_known(
    client: Client, doctor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_kwargs: object) -> int:
        raise SMTPServerDisconnected

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", fail)
    assert ask_for_a_link(client, doctor.email) == ask_for_a_link(client, "nobody@riverside.example")


def test_changing_the_password_keeps_this_session_and_ends_the_others(client: Client, doctor: User, as_doctor: Client) -> None:
    log_in(client, doctor.email)
    form = {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    answer = client.post(reverse("account_change_password"), form)
    assert answer.headers["Location"] == reverse("accounts:profile")
    assert is_logged_in(client)
    assert not is_logged_in(as_doctor)


def test_changing_the_password_needs_the_old_one(as_doctor: Client, doctor: User) -> None:
    form = {"oldpassword": "wrong", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert as_doctor.post(reverse("account_change_password"), form).status_code == 200
    doctor.refresh_from_db()
    assert doctor.check_password(PASSWORD)


def test_a_changed_password_is_told_by_mail(as_doctor: Client, doctor: User, mailoutbox: list[EmailMessage]) -> None:
    form = {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    as_doctor.post(reverse("account_change_password"), form)
    assert [mail.to for mail in mailoutbox] == [[doctor.email]]


@pytest.mark.parametrize("weak", ["short pass", "password1234", "Dora Doctor 1", "doctor@riverside.example"])
def test_a_weak_password_is_refused(as_doctor: Client, doctor: User, weak: str) -> None:
    form = {"oldpassword": PASSWORD, "password1": weak, "password2": weak}
    assert as_doctor.post(reverse("account_change_password"), form).context["form"].errors["password1"]
