from datetime import datetime, timedelta
from smtplib import SMTPServerDisconnected

import pytest
from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.core.mail import EmailMessage
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from accounts.invitations import InvitationError, InvitationTokenGenerator, invitation_url, renew_invitation
from accounts.models import Role, User
from tests.accounts.helpers import NEW_PASSWORD, is_logged_in, log_in, only_link
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
DEAD = "does not work any more"


@pytest.fixture
def invited(admin_user: User) -> User:
    return UserFactory.create(hospital=admin_user.hospital, email="new@riverside.example", password=None)


@pytest.fixture
def link(invited: User) -> str:
    return only_link(invitation_url(user=invited, request=RequestFactory().get("/")))


def accept(client: Client, link: str) -> str:
    page = client.get(link, follow=True)
    form = {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    return client.post(page.request["PATH_INFO"], form, follow=True).content.decode()


@pytest.mark.django_db(transaction=True)
def test_an_admin_invites_a_user_of_the_own_hospital(
    as_admin: Client, admin_user: User, mailoutbox: list[EmailMessage]
) -> None:
    form = {
        "email": "New@riverside.example",
        "full_name": "Nora New",
        "hospital": admin_user.hospital.pk,
        "role": "radiologist",
    }
    answer = as_admin.post(reverse("admin:accounts_user_add"), form, follow=True)
    user = User.objects.get(email="new@riverside.example")
    assert (user.role, user.hospital, user.has_usable_password()) == (Role.RADIOLOGIST, admin_user.hospital, False)
    assert mailoutbox[0].to == ["new@riverside.example"]
    assert only_link(mailoutbox[0].body) in answer.content.decode()


@pytest.mark.django_db(transaction=True)
def test_the_link_is_shown_to_the_admin_once(as_admin: Client, admin_user: User) -> None:
    form = {"email": "new@riverside.example", "full_name": "Nora New", "hospital": admin_user.hospital.pk, "role": "doctor"}
    answer = as_admin.post(reverse("admin:accounts_user_add"), form, follow=True)
    assert "/accounts/invitation/" in answer.content.decode()
    assert "/accounts/invitation/" not in as_admin.get(reverse("admin:accounts_user_changelist")).content.decode()


def test_an_invitation_that_cannot_be_mailed_is_still_shown(
    as_admin: Client, invited: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_kwargs: object) -> int:
        raise SMTPServerDisconnected

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", fail)
    page = resend(as_admin, invited)
    assert "COULD NOT be e-mailed" in page
    assert "/accounts/invitation/" in page


def test_accepting_sets_the_password_and_leads_to_log_in(client: Client, link: str, invited: User) -> None:
    assert "Your password is set" in accept(client, link)
    assert not is_logged_in(client)
    log_in(client, invited.email, NEW_PASSWORD)
    assert is_logged_in(client)


def test_the_address_of_the_form_no_longer_holds_the_token(client: Client, link: str) -> None:
    assert client.get(link).headers["Location"].endswith("/set-password/")


def test_an_invitation_works_once(client: Client, link: str) -> None:
    accept(client, link)
    assert DEAD in client.get(link, follow=True).content.decode()


def test_an_invitation_expires(client: Client, link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    later = datetime.today() + timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT + 60)  # noqa: DTZ002
    monkeypatch.setattr(InvitationTokenGenerator, "_now", lambda _self: later)
    assert DEAD in client.get(link, follow=True).content.decode()


def test_a_weak_first_password_is_refused(client: Client, link: str, invited: User) -> None:
    page = client.get(link, follow=True)
    client.post(page.request["PATH_INFO"], {"new_password1": "12345678901", "new_password2": "12345678901"})
    invited.refresh_from_db()
    assert not invited.has_usable_password()


def resend(client: Client, user: User) -> str:
    form = {"action": "send_invitation_again", "_selected_action": [str(user.pk)]}
    return client.post(reverse("admin:accounts_user_changelist"), form, follow=True).content.decode()


def test_sending_again_mails_a_new_link_and_ends_the_old_one(
    client: Client, as_admin: Client, invited: User, link: str, mailoutbox: list[EmailMessage]
) -> None:
    resend(as_admin, invited)
    assert DEAD in client.get(link, follow=True).content.decode()
    assert "Your password is set" in accept(client, only_link(mailoutbox[0].body))


def test_a_user_who_has_accepted_cannot_be_invited_again(as_admin: Client, doctor: User) -> None:
    before = doctor.password
    assert "have not yet set a password" in resend(as_admin, doctor)
    doctor.refresh_from_db()
    assert doctor.password == before


def test_a_deactivated_user_cannot_be_invited_or_accept(client: Client, invited: User, link: str) -> None:
    User.objects.filter(pk=invited.pk).update(is_active=False)
    with pytest.raises(InvitationError):
        renew_invitation(user=invited)
    assert DEAD in client.get(link, follow=True).content.decode()


def test_a_password_reset_token_does_not_open_an_invitation(client: Client, doctor: User) -> None:
    uid = urlsafe_base64_encode(force_bytes(doctor.pk))
    url = reverse("accounts:accept_invitation", args=[uid, default_token_generator.make_token(doctor)])
    assert DEAD in client.get(url, follow=True).content.decode()


@pytest.mark.parametrize("uid", ["x", "AAAA", "____", "MTIz"])
def test_a_garbled_link_is_refused_in_words(client: Client, uid: str) -> None:
    answer = client.get(reverse("accounts:accept_invitation", args=[uid, "set-password"]))
    assert DEAD in answer.content.decode()
