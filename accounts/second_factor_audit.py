"""The second factor's changes and failures, for the audit log.

allauth announces changes by signals that it sends after the commit, too late to be part of it: so the views that make them
are watched from outside. A wrong code is announced at once, by the one signal that this project listens to.
"""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from allauth.mfa import signals
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, URLResolver

from accounts import audit
from accounts.audit import Action, Outcome, record_about
from accounts.models import User

View = Callable[..., HttpResponseBase]
# They ask for a factor and change none. In one transaction the tries of a guesser who sends several at once would not see each
# other in the rate limit, and a wrong code would keep the log's end locked while the page is rendered.
ASKING = frozenset({"mfa_authenticate", "mfa_reauthenticate", "mfa_login_webauthn", "mfa_reauthenticate_webauthn"})


def listen() -> None:
    signals.authentication_failed.connect(_record_failed)


def watch(patterns: Iterable[URLPattern | URLResolver]) -> None:
    """What these addresses change of the user's factors is entered in the transaction of the change."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            watch(pattern.url_patterns)
        elif pattern.name not in ASKING:
            pattern.callback = _watched(pattern.callback)


def _watched(view: View) -> View:
    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method != "POST":
            return view(request, *args, **kwargs)
        with transaction.atomic():
            user = request.user
            before = _factors(user)
            response = view(request, *args, **kwargs)
            if isinstance(user, User):
                _record_changes(user, before, _factors(user))
        return response

    return answer


def _factors(user: User | AnonymousUser) -> dict[int, str]:
    return dict(Authenticator.objects.filter(user=user.pk).values_list("pk", "type")) if isinstance(user, User) else {}


def _record_changes(user: User, before: dict[int, str], after: dict[int, str]) -> None:
    added = [factor for pk, factor in after.items() if pk not in before]
    removed = [factor for pk, factor in before.items() if pk not in after]
    for factor in added:
        # Recovery codes are made anew by replacing their row
        action = Action.SECOND_FACTOR_RENEWED if factor in removed else Action.SECOND_FACTOR_ADDED
        record_about(user, action, by=user, factor=factor)
    for factor in removed:
        if factor not in added:
            record_about(user, Action.SECOND_FACTOR_REMOVED, by=user, factor=factor)


def _record_failed(*, user: User, authenticator: Authenticator, **_: Any) -> None:
    """A wrong code: nobody is logged in yet, so there is no actor."""
    details = {"factor": authenticator.type}
    audit.record(
        Action.LOGIN_FAILED,
        actor=None,
        object_type="user",
        object_id=user.pk,
        hospital=user.hospital_id,
        outcome=Outcome.FAILED,
        details=details,
    )
