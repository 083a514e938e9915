"""Where the portal differs from allauth's defaults."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.core.internal.ratelimit import get_ip
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.contrib.sites.shortcuts import get_current_site
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse

from accounts import lockout
from accounts.mailing import send_in_background
from accounts.models import User


class ClosedAccountAdapter(DefaultAccountAdapter):
    """Nobody signs up: users come by an admin's invitation."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "too_many_login_attempts": "Too many failed log-ins. Wait a quarter of an hour, then try again.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("accounts:profile")

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """A mail server that is slow or down neither breaks the page nor tells, by time or error, whose address is known.

        Who has no access gets none: such is also the stand-in of an unknown address (`forms.ResetForm`).
        """
        site = get_current_site(self.request)
        known = {"request": self.request, "email": email, "current_site": site}
        message = self.render_mail(template_prefix, email, known | context)
        has_access = getattr(context.get("user"), "is_active", True)
        send_in_background([message] if has_access else [], what=template_prefix)

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        super().pre_authenticate(request, **credentials)
        self._guess = lockout.count_guess(request, email=credentials.get("email", ""))
        if self._guess is None:
            raise self.validation_error("too_many_login_attempts")

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        return f"{super()._get_login_attempts_cache_key(request, **credentials)} {get_ip(request)}"

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        user = super().authenticate(request, **credentials)
        if user:
            lockout.remember_address(request, email=credentials.get("email", ""))
            if self._guess:
                self._guess.rollback()
        return user

    def validation_error(self, code: str, *args: Any) -> ValidationError:
        if code == "too_many_login_attempts":
            context.request.too_many_failures = True  # for `lockout.middleware`
        return super().validation_error(code, *args)


class PortalMFAAdapter(DefaultMFAAdapter):
    """Words that fit passkeys as well as codes."""

    error_messages = {**DefaultMFAAdapter.error_messages, "incorrect_code": "This code or key was not accepted."}

    def generate_authenticator_name(self, user: User, kind: Authenticator.Type) -> str:
        """The name that the form suggests for a new key."""
        return f"Key {Authenticator.objects.filter(user=user, type=kind).count() + 1}"
