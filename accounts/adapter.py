"""Where the portal differs from allauth's defaults."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.core.internal.ratelimit import get_ip
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.contrib.sites.shortcuts import get_current_site
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse

from accounts import audit, lockout
from accounts.audit import Action, Outcome, record_about
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

    @transaction.atomic
    def login(self, request: HttpRequest, user: User) -> None:
        super().login(request, user)
        audit.record(Action.LOGIN, actor=user)

    @transaction.atomic
    def logout(self, request: HttpRequest) -> None:
        user = request.user
        super().logout(request)
        audit.record(Action.LOGOUT, actor=user if isinstance(user, User) else None)

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """The locks after too many failures: see `accounts.lockout`."""
        try:
            super().pre_authenticate(request, **credentials)
            self._guess = lockout.count_guess(request, email=credentials.get("email", ""))
            if self._guess is None:
                raise self.validation_error("too_many_login_attempts")
        except ValidationError:
            _record_failure(Action.LOGIN_LOCKED, credentials)
            raise

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        _record_failure(Action.LOGIN_FAILED, credentials)

    @transaction.atomic
    def set_password(self, user: User, password: str) -> None:
        super().set_password(user, password)
        by = self.request.user if self.request else None
        record_about(user, Action.PASSWORD_SET, by=by if isinstance(by, User) else None)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """A mail server that is slow or down neither breaks the page nor tells, by time or error, whose address is known.

        Who has no access gets none: such is also the stand-in of an unknown address (`forms.ResetForm`).
        """
        site = get_current_site(self.request)
        known = {"request": self.request, "email": email, "current_site": site}
        message = self.render_mail(template_prefix, email, known | context)
        has_access = getattr(context.get("user"), "is_active", True)
        send_in_background([message] if has_access else [], what=template_prefix)

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


def _record_failure(action: Action, credentials: dict[str, Any]) -> None:
    """Whose account it was, where there is one. What was typed is not kept: it may be a password in the wrong field.

    The same two statements for a known and an unknown address: the time tells neither.
    """
    user = User.objects.filter(email=str(credentials.get("email", "")).lower()).first()
    outcome = Outcome.DENIED if action == Action.LOGIN_LOCKED else Outcome.FAILED
    object_id, hospital = (user.pk, user.hospital_id) if user else ("", None)
    audit.record(action, actor=None, object_type="user", object_id=object_id, hospital=hospital, outcome=outcome)


class PortalMFAAdapter(DefaultMFAAdapter):
    """Words that fit passkeys as well as codes."""

    error_messages = {**DefaultMFAAdapter.error_messages, "incorrect_code": "This code or key was not accepted."}

    def generate_authenticator_name(self, user: User, kind: Authenticator.Type) -> str:
        """The name that the form suggests for a new key."""
        return f"Key {Authenticator.objects.filter(user=user, type=kind).count() + 1}"
