"""Invitations: a one-time link by which a new user sets the first password."""

import logging
from smtplib import SMTPException

from django.conf import settings
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX, make_password
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.mail import send_mail
from django.db import transaction
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from accounts.audit import Action, record_about
from accounts.models import User

logger = logging.getLogger(__name__)


class InvitationError(Exception):
    """The user needs no invitation, or may not have one."""


class InvitationTokenGenerator(PasswordResetTokenGenerator):
    """Django's reset tokens under another salt: one kind of link never opens the other's page.

    A token dies with the password it was made under, so it works once and an earlier one ends when a new one is sent;
    it expires after `PASSWORD_RESET_TIMEOUT`.
    """

    key_salt = "accounts.invitations.InvitationTokenGenerator"


invitation_tokens = InvitationTokenGenerator()


@transaction.atomic
def renew_invitation(*, user: User, by: User | None = None) -> None:
    """Make earlier links of this user worthless. Raises InvitationError once a password is set or access is closed.

    Audited: whoever sends an invitation again sees a link by which the user's password can be set.
    """
    password = make_password(None)
    waiting = User.objects.filter(pk=user.pk, is_active=True, password__startswith=UNUSABLE_PASSWORD_PREFIX)
    if not waiting.update(password=password):
        raise InvitationError("Only active users who have not yet set a password can be invited.")
    user.password = password
    record_about(user, Action.ACCESS_CHANGED, by=by, invited_again=True)


def invitation_url(*, user: User, request: HttpRequest) -> str:
    """The link that sets the user's first password."""
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    path = reverse("accounts:accept_invitation", args=[uid, invitation_tokens.make_token(user)])
    return request.build_absolute_uri(path)


def mail_invitation(*, user: User, url: str) -> bool:
    """Send the link to the user; False when the mail server did not take it."""
    context = {"user": user, "url": url, "days": settings.PASSWORD_RESET_TIMEOUT // 86_400}
    subject = render_to_string("account/email/invitation_subject.txt", context).strip()
    body = render_to_string("account/email/invitation_message.txt", context)
    try:
        send_mail(subject, body, None, [user.email])
    except (OSError, SMTPException):
        logger.exception("The invitation of user %s could not be mailed", user.pk)
        return False
    return True
