"""Filters that put a case into words; the words themselves are in `diagnostics.wording`."""

from datetime import datetime

from django import template
from django.utils import timezone
from django.utils.formats import date_format

from diagnostics import wording
from diagnostics.models import Case, Review
from diagnostics.services import versions

register = template.Library()
register.filter("percent", wording.percent)
register.filter("kind", wording.kind)
register.filter("headline", wording.headline)
register.filter("review_status", wording.review_status)
register.filter("withdrawn_at", versions.withdrawal_of)


@register.filter
def signed_review(case: Case) -> Review | None:
    return wording.signed_review(case)


@register.filter
def is_unread(case: Case) -> bool:
    """A result that nobody has opened."""
    return case.is_final and case.first_viewed_at is None


@register.filter
def moment(value: datetime | None) -> str:
    """`today 14:05`, `3 May 14:05`, or with the year where it is another one."""
    if value is None:
        return ""
    local, now = timezone.localtime(value), timezone.localtime()
    if local.date() == now.date():
        return f"today {date_format(local, 'H:i')}"
    return date_format(local, "j M H:i" if local.year == now.year else "j M Y H:i")


@register.filter
def ordinal_place(position: int) -> str:
    """The place in the queue, in words for the first."""
    return "next in the queue" if position == 1 else f"number {position} in the queue"


@register.filter
def whole_percent(share: float) -> str:
    """A share without decimals."""
    return f"{100 * share:.0f} %"


@register.filter
def permille(value: float) -> int:
    """For the width of a bar that is 1000 units wide."""
    return round(1000 * min(max(value, 0.0), 1.0))
