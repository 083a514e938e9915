import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import check_password
from django.test import Client
from django.urls import NoReverseMatch, reverse
from pytest_django import Settings

from accounts.models import User
from pneumo_site import settings as shipped
from tests.accounts.helpers import NEW_PASSWORD, is_logged_in, log_in
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db


def test_the_right_password_logs_in(client: Client, doctor: User) -> None:
    assert log_in(client, doctor.email).status_code == 302
    assert is_logged_in(client)


def test_the_address_may_be_typed_in_any_case(client: Client, doctor: User) -> None:
    log_in(client, doctor.email.upper())
    assert is_logged_in(client)


def test_a_wrong_password_does_not_log_in(client: Client, doctor: User) -> None:
    assert log_in(client, doctor.email, "wrong").status_code == 200
    assert not is_logged_in(client)


def test_a_user_without_password_cannot_log_in(client: Client) -> None:
    invited = UserFactory.create(password=None)
    for guess in ["", invited.password]:
        log_in(client, invited.email, guess)
        assert not is_logged_in(client)


def test_a_deactivated_user_is_not_let_in(client: Client) -> None:
    closed = UserFactory.create(is_active=False)
    assert log_in(client, closed.email).headers["Location"] == reverse("account_inactive")
    assert not is_logged_in(client)


def test_the_log_in_page_does_not_tell_who_has_a_log_in(client: Client, doctor: User) -> None:
    wrong = log_in(client, doctor.email, "wrong")
    unknown = log_in(client, "nobody@riverside.example", "wrong")
    assert wrong.context["form"].errors == unknown.context["form"].errors
    assert wrong.status_code == unknown.status_code == 200


def test_many_wrong_passwords_close_the_address_for_a_while(client: Client, doctor: User) -> None:
    for _ in range(8):
        log_in(client, doctor.email, "wrong")
    answer = log_in(client, doctor.email)
    assert "Too many failed" in str(answer.context["form"].errors)
    assert not is_logged_in(client)


def test_one_users_wrong_passwords_do_not_lock_a_colleague_out(client: Client, doctor: User) -> None:
    colleague = UserFactory.create(hospital=doctor.hospital)
    for _ in range(8):
        log_in(client, doctor.email, "wrong")
    log_in(client, colleague.email)
    assert is_logged_in(client)


def test_nobody_can_sign_up(client: Client) -> None:
    with pytest.raises(NoReverseMatch):
        reverse("account_signup")
    for path in ["/accounts/signup/", "/accounts/2fa/webauthn/signup/"]:
        assert client.get(path).status_code == 404
        assert client.post(path, {"email": "a@b.example", "password1": PASSWORD}).status_code == 404
    assert not User.objects.exists()


def test_the_log_in_page_offers_no_sign_up(client: Client) -> None:
    page = client.get(reverse("account_login")).content.decode().lower()
    assert "sign up" not in page
    assert "signup" not in page


def test_nobody_changes_the_own_address(as_doctor: Client) -> None:
    assert as_doctor.get("/accounts/email/").status_code == 404


def test_log_out_asks_first_and_then_ends_the_session(as_doctor: Client) -> None:
    assert as_doctor.get(reverse("account_logout")).status_code == 200
    assert is_logged_in(as_doctor)
    assert as_doctor.post(reverse("account_logout")).headers["Location"] == reverse("account_login")
    assert not is_logged_in(as_doctor)


def test_log_in_never_leads_to_another_site(client: Client, doctor: User) -> None:
    form = {"login": doctor.email, "password": PASSWORD, "next": "https://evil.example/"}
    assert "evil" not in client.post(reverse("account_login"), form).headers["Location"]


def test_log_in_leads_back_to_where_it_was_asked_for(client: Client, doctor: User) -> None:
    wanted = reverse("mfa_index")
    asked = client.get(wanted).headers["Location"]
    answer = client.post(asked, {"login": doctor.email, "password": PASSWORD, "next": wanted})
    assert answer.headers["Location"] == wanted


def test_the_session_key_changes_at_log_in(client: Client, doctor: User) -> None:
    client.get(reverse("account_login"))
    before = client.session.session_key
    log_in(client, doctor.email)
    assert client.session.session_key != before


def test_passwords_are_hashed_with_argon2(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = shipped.PASSWORD_HASHERS
    user = UserFactory.create(password=NEW_PASSWORD)
    assert user.password.startswith("argon2$argon2id$")
    assert check_password(NEW_PASSWORD, user.password)


def test_the_users_row_stays_the_only_copy_of_the_address(client: Client, doctor: User) -> None:
    log_in(client, doctor.email)
    client.post(reverse("account_reset_password"), {"email": doctor.email})
    assert not EmailAddress.objects.exists()
