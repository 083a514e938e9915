"""API tokens: made once, kept as a digest, looked up by it."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.audit import Action
from accounts.models import ApiToken, Scope, User
from accounts.users import record_about

PREFIX = "pneumo_"
MAX_DAYS = 3650
LAST_USED_GRAIN = timedelta(minutes=1)


@transaction.atomic
def create_api_token(*, user: User, days: int = 90, scopes: Iterable[Scope] = Scope) -> tuple[ApiToken, str]:
    """A new token for this user, valid for so many days; the text is shown now and never again.

    Raises ValueError when the days are not between 1 and MAX_DAYS, or when the user is not active.
    """
    if not 1 <= days <= MAX_DAYS:
        raise ValueError(f"A token lives 1 to {MAX_DAYS} days. Received: {days}")
    if not user.is_active:
        raise ValueError(f"An inactive user gets no token. Received: {user.email}")
    token = PREFIX + secrets.token_urlsafe(32)
    now = timezone.now()
    row = ApiToken.objects.create(
        user=user,
        digest=_digest(token),
        scopes=" ".join(sorted(set(scopes))),
        created_at=now,
        expires_at=now + timedelta(days=days),
    )
    record_about(user, Action.TOKEN_CREATED, by=None, token=str(row.pk), days=days)
    return row, token


def authenticate_api_token(*, token: str) -> User | None:
    """The active user whose token this is, or None."""
    row = find_api_token(token=token)
    return row.user if row else None


def find_api_token(*, token: str) -> ApiToken | None:
    """The usable token with its user, or None; notes that it was used.

    The lookup is by SHA-256 of a 256-bit secret: how long it takes says nothing about how near a guess came.
    """
    row = ApiToken.objects.usable().select_related("user__hospital").filter(digest=_digest(token)).first()
    if row is None:
        return None
    now = timezone.now()
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USED_GRAIN)
    if row.last_used_at is None or row.last_used_at < now - LAST_USED_GRAIN:
        ApiToken.objects.filter(stale, pk=row.pk).update(last_used_at=now)
    return row


@transaction.atomic
def revoke_api_token(*, token: ApiToken, by: User | None = None) -> bool:
    """End this token; False when it had been revoked before."""
    revoked = bool(ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()))
    if revoked:
        record_about(token.user, Action.TOKEN_REVOKED, by=by, token=str(token.pk))
    return revoked


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
