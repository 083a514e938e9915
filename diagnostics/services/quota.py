"""How many films one user may send: by the minute, so that a program in a loop is slowed down, and by the day.

Counted from the rows, so that all web processes agree. Requests that are answered at the same moment do not see each other: n
of them may pass a limit by n - 1 films.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from django.conf import settings
from django.db.models import Count, Q, Sum
from django.utils import timezone

from accounts.models import User
from diagnostics.exceptions import UploadRefusedError
from diagnostics.models import Case
from diagnostics.querysets import CaseQuerySet

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
RATE_LIMITED, QUOTA_EXCEEDED = "RATE_LIMITED", "QUOTA_EXCEEDED"
RATE_MESSAGE = "You are sending more than {limit} films a minute. Nothing was saved; send this one again in {wait}."
QUOTA_MESSAGE = (
    "You have sent as much as one user may within 24 hours ({limit}). Nothing was saved; send this film in {wait}, or ask the "
    "portal's operator for more."
)


@dataclass(frozen=True, slots=True)
class _Limit:
    """So many films and bytes within a window; 0 is no limit."""

    window: timedelta
    films: int = 0
    size: int = 0

    def is_passed(self, films: int, size: int) -> bool:
        return bool((self.films and films > self.films) or (self.size and size > self.size))


def check_quota(*, uploader: User, size: int) -> None:
    """Raises `UploadRefusedError` (429, with the seconds to wait) where one more film of that many bytes is too much."""
    rate = _Limit(MINUTE, films=settings.UPLOADS_PER_MINUTE)
    quota = _Limit(DAY, films=settings.UPLOAD_DAILY_FILES, size=settings.UPLOAD_DAILY_BYTES)
    if not (rate.films or quota.films or quota.size):
        return
    now = timezone.now()
    sent = Case.objects.sent_by(uploader, since=now - DAY)
    recent = Count("pk", filter=Q(created_at__gt=now - MINUTE))
    counts = sent.aggregate(recent=recent, films=Count("pk"), size=Sum("size_bytes", default=0))
    if quota.is_passed(counts["films"] + 1, counts["size"] + size):
        raise _refusal(QUOTA_EXCEEDED, QUOTA_MESSAGE, _describe(quota), _seconds_left(sent, quota, size, now))
    if rate.is_passed(counts["recent"] + 1, 0):
        raise _refusal(RATE_LIMITED, RATE_MESSAGE, str(rate.films), _seconds_left(sent, rate, size, now))


def _seconds_left(sent: CaseQuerySet, limit: _Limit, size: int, now: datetime) -> int:
    """Until so many of the user's films have left the window that this one fits in."""
    films, total = 1, size
    for created_at, size_bytes in sent.newest_first().values_list("created_at", "size_bytes").iterator():
        films, total = films + 1, total + size_bytes
        if limit.is_passed(films, total):
            return max(1, ceil((created_at + limit.window - now).total_seconds()))
    return int(limit.window.total_seconds())


def _refusal(code: str, message: str, limit: str, seconds: int) -> UploadRefusedError:
    text = message.format(limit=limit, wait=_say_time(seconds))
    return UploadRefusedError(code, text, status=429, retry_after=seconds)


def _describe(quota: _Limit) -> str:
    parts = [f"{quota.films:,} films"] if quota.films else []
    if quota.size:
        parts.append(f"{quota.size / 1024**3:.3g} GB")
    return ", ".join(parts)


def _say_time(seconds: int) -> str:
    for size, unit in ((3600, "hour"), (60, "minute")):
        if seconds > size:
            count = ceil(seconds / size)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds} second{'s' if seconds > 1 else ''}"
