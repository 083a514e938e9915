"""The second factor: who must have one, and what such a user reaches before it is set up.

A session of a user with a second factor has passed it, at log-in or by setting it up: a new factor ends all other sessions, for
one of them may be a thief's who knew the password before.
"""

from collections.abc import Callable
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.urls import reverse

from accounts.models import User
from accounts.permissions import needs_second_factor
from accounts.sessions import asked_by_script
from accounts.users import end_other_sessions

# Recovery codes stand in for a lost factor; alone they are none.
FACTORS = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
MISSING = ("SECOND_FACTOR_MISSING", "This log-in needs a second factor before it opens anything.")

# What a user reaches who must still set it up, beside what needs no log-in
SET_UP = frozenset(
    {
        "accounts:profile",
        "accounts:session",
        "accounts:set_up_second_factor",
        "account_logout",
        "account_reauthenticate",
        "mfa_index",
        "mfa_activate_totp",
        "mfa_add_webauthn",
    }
)


def has_second_factor(user: User | AnonymousUser) -> bool:
    return isinstance(user, User) and Authenticator.objects.filter(user=user.pk, type__in=FACTORS).exists()


def lacks_second_factor(user: User | AnonymousUser) -> bool:
    """Whether this user must set up a second factor before anything else."""
    return needs_second_factor(user) and not has_second_factor(user)


class SecondFactorMiddleware:
    """Leads those who lack a needed factor to its set-up, and ends other sessions when one is added."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method != "POST" or not request.path.startswith(reverse("mfa_index")) or request.user.is_anonymous:
            return self.get_response(request)
        before = self._count(request)
        response = self.get_response(request)
        if self._count(request) > before:
            end_other_sessions(request=request)
        return response

    def process_view(self, request: HttpRequest, view: Any, _args: Any, _kwargs: Any) -> HttpResponseBase | None:
        if not getattr(view, "login_required", True) or _view_name(request) in SET_UP or not lacks_second_factor(request.user):
            return None
        if asked_by_script(request):
            return JsonResponse({"code": MISSING[0], "message": MISSING[1]}, status=403)
        return HttpResponseRedirect(reverse("accounts:set_up_second_factor"))

    def _count(self, request: HttpRequest) -> int:
        return Authenticator.objects.filter(user=request.user.pk, type__in=FACTORS).count()


def _view_name(request: HttpRequest) -> str:
    return request.resolver_match.view_name if request.resolver_match else ""


@transaction.atomic
def enrol_app(*, user: User) -> str:
    """Set up an authenticator app for the user, in place of an earlier one; returns the secret that the app is given."""
    Authenticator.objects.filter(user=user.pk, type=Authenticator.Type.TOTP).delete()
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    return secret


def code_now(secret: str) -> str:
    """The six digits that an app with this secret shows now."""
    counters = list(yield_hotp_counters_from_time())
    return format_hotp_value(hotp_value(secret, counters[len(counters) // 2]))
