"""API tokens: made once, kept as a digest, looked up by it."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from accounts import audit
from accounts.audit import Action, Outcome, record_about
from accounts.lockout import enters_refusal
from accounts.models import ApiToken, Scope, User

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


def record_invalid_token(request: HttpRequest, *, token: str) -> None:
    """An entry about a text that opened nothing: which token it was, where it ever was one, and why it is none now."""
    row = ApiToken.objects.select_related("user").filter(digest=_digest(token)).first()
    record_refused_token(request, token=row, reason=_why_not(row))


def record_refused_token(request: HttpRequest, *, token: ApiToken | None, by: User | None = None, **details: str) -> None:
    """An entry in the hospital of the token's user, at most once a minute for each address, token and cause; never its text."""
    told = str(token.pk) if token else ""
    if enters_refusal(request, token=f"{told} {details}"):
        audit.record(
            Action.ACCESS_DENIED,
            actor=by,
            object_type="api_token",
            object_id=told,
            hospital=token.user.hospital_id if token else None,
            outcome=Outcome.DENIED,
            details=details,
        )


def _why_not(row: ApiToken | None) -> str:
    if row is None:
        return "unknown"
    if row.revoked_at:
        return "revoked"
    return "expired" if row.expires_at <= timezone.now() else "inactive user"


@transaction.atomic
def revoke_api_token(*, token: ApiToken, by: User | None = None) -> bool:
    """End this token; False when it had been revoked before."""
    revoked = bool(ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()))
    if revoked:
        record_about(token.user, Action.TOKEN_REVOKED, by=by, token=str(token.pk))
    return revoked


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
