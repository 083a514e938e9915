"""Services that end a user's access."""

from allauth.mfa.models import Authenticator
from django.contrib.auth import update_session_auth_hash
from django.db import transaction
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import ApiToken, User


def end_sessions(*, users: QuerySet[User]) -> int:
    """Log these users out everywhere; returns how many users that were."""
    return users.update(session_version=F("session_version") + 1)


@transaction.atomic
def deactivate_users(*, users: QuerySet[User]) -> int:
    """Close these users' access: no log-in, no session, no token. Their tokens stay dead when they come back."""
    ids = list(users.values_list("pk", flat=True))
    chosen = User.objects.filter(pk__in=ids)
    ApiToken.objects.filter(user__in=ids, revoked_at=None).update(revoked_at=timezone.now())
    end_sessions(users=chosen)
    return chosen.update(is_active=False)


@transaction.atomic
def remove_second_factors(*, users: QuerySet[User]) -> int:
    """For users who lost phone and keys: the password alone logs in again, and every session ends."""
    ids = list(users.values_list("pk", flat=True))
    Authenticator.objects.filter(user__in=ids).delete()
    return end_sessions(users=User.objects.filter(pk__in=ids))


def end_other_sessions(*, request: HttpRequest) -> None:
    """Log the user out everywhere but in the browser that asks."""
    assert isinstance(request.user, User)  # noqa: S101 - nobody else has other sessions
    end_sessions(users=User.objects.filter(pk=request.user.pk))
    request.user.refresh_from_db(fields=["session_version"])
    update_session_auth_hash(request, request.user)
