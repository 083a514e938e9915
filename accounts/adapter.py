"""Where the portal differs from allauth's defaults."""

import logging
from smtplib import SMTPException
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.http import HttpRequest
from django.urls import reverse

from accounts.models import User

logger = logging.getLogger(__name__)


class ClosedAccountAdapter(DefaultAccountAdapter):
    """Nobody signs up: users come by an admin's invitation."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("accounts:profile")

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """A mail server that is down neither breaks the page nor tells by an error whose address is known."""
        try:
            super().send_mail(template_prefix, email, context)
        except (OSError, SMTPException):
            logger.exception("A mail could not be sent: %s", template_prefix)


class PortalMFAAdapter(DefaultMFAAdapter):
    """Words that fit passkeys as well as codes."""

    error_messages = {**DefaultMFAAdapter.error_messages, "incorrect_code": "This code or key was not accepted."}

    def generate_authenticator_name(self, user: User, kind: Authenticator.Type) -> str:
        """The name that the form suggests for a new key."""
        return f"Key {Authenticator.objects.filter(user=user, type=kind).count() + 1}"
