import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.signals import authentication_failed
from django.core.cache import cache
from django.core.mail import EmailMessage
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts.models import User
from accounts.users import remove_second_factors
from tests.accounts.helpers import activate_totp, confirmed, is_logged_in, log_in, totp_code
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture
def secret(doctor: User) -> str:
    """The secret of the doctor's authenticator app, set up in another browser a while ago."""
    secret = activate_totp(confirmed(Client(), doctor.email))
    cache.clear()
    return secret


def enter(client: Client, code: str) -> int:
    return client.post(reverse("mfa_authenticate"), {"code": code}).status_code


def test_switching_the_app_on_leads_to_recovery_codes(client: Client, doctor: User) -> None:
    confirmed(client, doctor.email)
    secret = client.get(reverse("mfa_activate_totp")).context["form"].secret
    answer = client.post(reverse("mfa_activate_totp"), {"code": totp_code(secret)})
    assert answer.headers["Location"] == reverse("mfa_view_recovery_codes")
    assert len(client.get(reverse("mfa_view_recovery_codes")).context["unused_codes"]) == 10


def test_switching_the_app_on_needs_the_right_code(client: Client, doctor: User) -> None:
    confirmed(client, doctor.email)
    secret = client.get(reverse("mfa_activate_totp")).context["form"].secret
    wrong = f"{(int(totp_code(secret)) + 1) % 10**6:06}"
    assert client.post(reverse("mfa_activate_totp"), {"code": wrong}).status_code == 200
    assert not Authenticator.objects.exists()


def test_the_page_shows_the_secret_as_a_picture_that_the_policy_allows(client: Client, doctor: User) -> None:
    page = confirmed(client, doctor.email).get(reverse("mfa_activate_totp")).content.decode()
    assert 'src="data:image/svg+xml;' in page


@pytest.mark.django_db(transaction=True)
def test_a_new_second_factor_is_told_by_mail(client: Client, doctor: User, mailoutbox: list[EmailMessage]) -> None:
    activate_totp(confirmed(client, doctor.email))
    assert {tuple(mail.to) for mail in mailoutbox} == {(doctor.email,)}


def test_the_password_alone_no_longer_logs_in(client: Client, doctor: User, secret: str) -> None:
    assert log_in(client, doctor.email).headers["Location"] == reverse("mfa_authenticate")
    assert not is_logged_in(client)


def test_password_and_code_log_in(client: Client, doctor: User, secret: str) -> None:
    log_in(client, doctor.email)
    assert enter(client, totp_code(secret)) == 302
    assert is_logged_in(client)


def test_a_wrong_code_does_not_log_in(client: Client, doctor: User, secret: str) -> None:
    log_in(client, doctor.email)
    assert enter(client, "000000" if totp_code(secret) != "000000" else "000001") == 200
    assert not is_logged_in(client)


def test_a_code_cannot_be_used_twice(client: Client, doctor: User, secret: str) -> None:
    code = totp_code(secret)
    log_in(client, doctor.email)
    enter(client, code)
    thief = Client()
    log_in(thief, doctor.email)
    assert enter(thief, code) == 200
    assert not is_logged_in(thief)


def test_a_recovery_code_logs_in_once(client: Client, doctor: User, secret: str) -> None:
    row = Authenticator.objects.get(user=doctor, type=Authenticator.Type.RECOVERY_CODES)
    code = RecoveryCodes(row).get_unused_codes()[0]
    log_in(client, doctor.email)
    enter(client, code)
    assert is_logged_in(client)
    thief = Client()
    log_in(thief, doctor.email)
    enter(thief, code)
    assert not is_logged_in(thief)


def test_the_second_step_can_be_left(client: Client, doctor: User, secret: str) -> None:
    log_in(client, doctor.email)
    client.post(reverse("account_logout"), {"next": reverse("account_login")})
    assert client.get(reverse("mfa_authenticate")).headers["Location"] == reverse("account_login")


def test_the_second_step_without_the_first_leads_to_log_in(client: Client) -> None:
    assert client.get(reverse("mfa_authenticate")).headers["Location"] == reverse("account_login")


def test_a_new_second_factor_ends_sessions_that_have_not_passed_it(as_doctor: Client, client: Client, doctor: User) -> None:
    activate_totp(confirmed(client, doctor.email))
    assert is_logged_in(client)
    assert not is_logged_in(as_doctor)


def test_switching_the_app_off_asks_who_is_there(client: Client, doctor: User, secret: str) -> None:
    log_in(client, doctor.email)
    enter(client, totp_code(secret))
    answer = client.post(reverse("mfa_deactivate_totp"))
    assert "reauthenticate" in answer.headers["Location"]
    assert Authenticator.objects.filter(user=doctor, type="totp").exists()


def test_switching_the_app_off_works_after_a_confirmation(client: Client, doctor: User, secret: str) -> None:
    log_in(client, doctor.email)
    enter(client, totp_code(secret))
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    client.post(reverse("mfa_deactivate_totp"))
    assert not Authenticator.objects.filter(user=doctor).exists()


def test_an_admin_can_remove_the_factors_of_a_user_who_lost_the_phone(client: Client, doctor: User, secret: str) -> None:
    log_in(client, doctor.email)
    enter(client, totp_code(secret))
    assert is_logged_in(client)
    remove_second_factors(users=User.objects.filter(pk=doctor.pk))
    assert not is_logged_in(client)
    log_in(client, doctor.email)
    assert is_logged_in(client)


@pytest.mark.django_db(transaction=True)
def test_a_wrong_code_counts_at_once_for_those_who_guess_beside_it(client: Client, doctor: User, secret: str) -> None:
    held: list[bool] = []

    def note(**_: object) -> None:
        held.append(connection.in_atomic_block)

    authentication_failed.connect(note)
    log_in(client, doctor.email)
    enter(client, "000000")
    authentication_failed.disconnect(note)
    assert held == [False], "in one transaction the rate limit would be kept when the page is rendered, not before"
