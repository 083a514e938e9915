"""Services that end a user's access. Each leaves one entry of the audit log for each user, by `by` (None: a command)."""

from collections.abc import Sequence
from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth import update_session_auth_hash
from django.db import transaction
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.module_loading import import_string

from accounts.audit import Action, record_about
from accounts.models import ApiToken, User


@transaction.atomic
def end_sessions(*, users: QuerySet[User], by: User | None = None) -> int:
    """Log these users out everywhere; returns how many users that were."""
    found = list(users)
    _end_sessions(found)
    _record(Action.SESSIONS_ENDED, found, by)
    return len(found)


@transaction.atomic
def end_standing(*, users: QuerySet[User], by: User | None = None) -> int:
    """After a change of role or hospital: nothing that the old ones opened stays open. Returns how many users that were."""
    found = list(users)
    _end_sessions(found)
    _tell_end_of_standing(found, by)
    _record(Action.SESSIONS_ENDED, found, by)
    return len(found)


@transaction.atomic
def deactivate_users(*, users: QuerySet[User], by: User | None = None) -> int:
    """Close these users' access: no log-in, no session, no token. Their tokens stay dead when they come back."""
    found = list(users)
    ApiToken.objects.filter(user__in=found, revoked_at=None).update(revoked_at=timezone.now())
    _end_sessions(found)
    User.objects.filter(pk__in=[user.pk for user in found]).update(is_active=False)
    _tell_end_of_standing(found, by)
    _record(Action.ACCESS_CHANGED, found, by, is_active=False)
    return len(found)


@transaction.atomic
def remove_second_factors(*, users: QuerySet[User], by: User | None = None) -> int:
    """For users who lost phone and keys: the password alone logs in again, and every session ends."""
    found = list(users)
    Authenticator.objects.filter(user__in=found).delete()
    _end_sessions(found)
    _record(Action.SECOND_FACTOR_REMOVED, found, by)
    return len(found)


def end_other_sessions(*, request: HttpRequest) -> None:
    """Log the user out everywhere but in the browser that asks."""
    assert isinstance(request.user, User)  # noqa: S101 - nobody else has other sessions
    end_sessions(users=User.objects.filter(pk=request.user.pk), by=request.user)
    request.user.refresh_from_db(fields=["session_version"])
    update_session_auth_hash(request, request.user)


def _end_sessions(users: Sequence[User]) -> None:
    User.objects.filter(pk__in=[user.pk for user in users]).update(session_version=F("session_version") + 1)


def _tell_end_of_standing(users: Sequence[User], by: User | None) -> None:
    """To whom the settings name: this room knows no cases. After every change of rows and before the first entry of the log."""
    if settings.STANDING_LISTENER:
        import_string(settings.STANDING_LISTENER)(users=users, by=by)


def _record(action: Action, users: Sequence[User], by: User | None, **details: Any) -> None:
    for user in users:
        record_about(user, action, by=by, **details)
