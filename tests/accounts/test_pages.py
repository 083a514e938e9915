"""Every account page: who reaches it, that it renders, and that the strict policy has nothing to block in it."""

from html.parser import HTMLParser
from uuid import UUID

import pytest
from allauth.mfa.models import Authenticator
from django.core.mail import EmailMessage
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, reverse

from accounts import urls
from accounts.invitations import invitation_url
from accounts.models import User
from tests.accounts.helpers import NEW_PASSWORD, activate_totp, confirmed, log_in, only_link
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db

OPEN = {
    "account_login",
    "account_logout",
    "account_inactive",
    "account_reset_password",
    "account_reset_password_done",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
    "accept_invitation",
    "mfa_authenticate",
    "mfa_login_webauthn",
}
CLOSED = {
    "profile",
    "log_out_elsewhere",
    "revoke_token",
    "set_up_second_factor",
    "session",
    "account_reauthenticate",
    "account_change_password",
    "account_set_password",
    "mfa_index",
    "mfa_reauthenticate",
    "mfa_activate_totp",
    "mfa_deactivate_totp",
    "mfa_view_recovery_codes",
    "mfa_generate_recovery_codes",
    "mfa_download_recovery_codes",
    "mfa_list_webauthn",
    "mfa_add_webauthn",
    "mfa_reauthenticate_webauthn",
    "mfa_remove_webauthn",
    "mfa_edit_webauthn",
}


def names(patterns: list[URLPattern | URLResolver]) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        found |= names(pattern.url_patterns) if isinstance(pattern, URLResolver) else {str(pattern.name)}
    return found


def address(name: str) -> str:
    if name in {"mfa_remove_webauthn", "mfa_edit_webauthn"}:
        return reverse(name, args=[1])
    own = {str(pattern.name) for pattern in urls.own}
    return reverse(f"accounts:{name}" if name in own else name, args=[UUID(int=0)] if name == "revoke_token" else [])


class InlineCode(HTMLParser):
    """Collects what a policy without 'unsafe-inline' would block."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.blocked: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style" or "style" in given or any(name.startswith("on") for name in given):
            self.blocked.append(f"{tag} {given}")
        if tag == "script" and "src" not in given and given.get("type") != "application/json":
            self.blocked.append(f"script {given}")


def check(client: Client, url: str) -> str:
    response = client.get(url, follow=True)
    page = response.content.decode()
    assert response.status_code == 200, url
    assert InlineCode(page).blocked == []
    assert page.count("<h1") == 1
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    return page


def test_no_address_is_missing_from_the_two_lists() -> None:
    assert names(urls.urlpatterns) == OPEN | CLOSED


@pytest.mark.parametrize("name", sorted(CLOSED))
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_closed_page_leads_the_anonymous_to_log_in(client: Client, name: str, method: str) -> None:
    answer = getattr(client, method)(address(name))
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(reverse("account_login") + "?next=")


@pytest.mark.parametrize(
    "name",
    [
        "account_login",
        "account_inactive",
        "account_reset_password",
        "account_reset_password_done",
        "account_reset_password_from_key_done",
    ],
)
def test_an_open_page_renders_for_the_anonymous(client: Client, name: str) -> None:
    check(client, reverse(name))


def test_the_passkey_log_in_hands_its_options_to_the_anonymous(client: Client) -> None:
    answer = client.get(reverse("mfa_login_webauthn"), headers={"Accept": "application/json"})
    assert "publicKey" in answer.json()["request_options"]


@pytest.mark.parametrize(
    "name", ["accounts:profile", "account_logout", "account_change_password", "mfa_index", "mfa_list_webauthn"]
)
def test_a_logged_in_users_page_renders(as_doctor: Client, name: str) -> None:
    check(as_doctor, reverse(name))


def test_the_profile_says_who_and_where_the_user_is(as_doctor: Client, doctor: User) -> None:
    page = check(as_doctor, reverse("accounts:profile"))
    for words in [doctor.full_name, doctor.email, doctor.hospital.name, "Doctor", "Two-step log-in is off"]:
        assert words in page


def test_the_pages_before_the_second_factor_render(client: Client, doctor: User) -> None:
    confirmed(client, doctor.email)
    for name in ["mfa_activate_totp", "mfa_add_webauthn", "account_reauthenticate"]:
        check(client, reverse(name))


def test_the_pages_of_the_second_factor_render(client: Client, doctor: User) -> None:
    activate_totp(confirmed(client, doctor.email))
    data = {"name": "Blue key", "credential": {}, "passwordless": True}
    key = Authenticator.objects.create(user=doctor, type=Authenticator.Type.WEBAUTHN, data=data)
    for name in [
        "mfa_index",
        "mfa_deactivate_totp",
        "mfa_view_recovery_codes",
        "mfa_generate_recovery_codes",
        "mfa_reauthenticate",
    ]:
        check(client, reverse(name))
    for name in ["mfa_edit_webauthn", "mfa_remove_webauthn"]:
        check(client, reverse(name, args=[key.pk]))
    assert client.get(reverse("mfa_download_recovery_codes")).headers["Content-Type"].startswith("text/plain")


def test_the_second_step_of_log_in_renders(client: Client, doctor: User) -> None:
    activate_totp(confirmed(Client(), doctor.email))
    log_in(client, doctor.email)
    assert "Second step" in check(client, reverse("mfa_authenticate"))


def test_the_pages_of_links_render(client: Client, doctor: User, mailoutbox: list[EmailMessage]) -> None:
    invited = UserFactory.create(password=None)
    link = only_link(invitation_url(user=invited, request=RequestFactory().get("/")))
    assert "Welcome" in check(client, link)
    assert "does not work any more" in check(client, link.replace(link.split("/")[-2], "x-y"))
    client.post(reverse("account_reset_password"), {"email": doctor.email})
    assert "Set a new password" in check(client, only_link(mailoutbox[0].body))


def test_too_many_attempts_are_answered_in_words(client: Client) -> None:
    for _ in range(6):
        answer = client.post(reverse("account_reset_password"), {"email": "same@riverside.example"})
    assert answer.status_code == 429
    assert "Too many attempts" in answer.content.decode()


def test_a_fields_error_is_tied_to_the_field(as_doctor: Client) -> None:
    form = {"oldpassword": "wrong", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    page = as_doctor.post(reverse("account_change_password"), form).content.decode()
    assert 'aria-describedby="id_oldpassword_helptext id_oldpassword_error"' in page
    assert 'id="id_oldpassword_error"' in page
    assert 'aria-invalid="true"' in page


def test_anothers_key_is_not_found(client: Client, doctor: User, stranger: User) -> None:
    key = Authenticator.objects.create(user=stranger, type=Authenticator.Type.WEBAUTHN, data={"name": "Theirs"})
    confirmed(client, doctor.email)
    for name in ["mfa_edit_webauthn", "mfa_remove_webauthn"]:
        assert client.get(reverse(name, args=[key.pk])).status_code == 404
