"""Keyset pages: the next page starts below the last row seen, so that new uploads neither repeat nor hide a row."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from diagnostics.models import Case
from diagnostics.querysets import CaseQuerySet

PAGE_SIZE = 25
SEPARATOR = "~"


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one page, and the cursor of the next (empty on the last)."""

    cases: list[Case]
    next_cursor: str
    is_first: bool


def read_page(cases: CaseQuerySet, cursor: str, *, size: int = PAGE_SIZE) -> Page:
    """One page in `newest_first` order. A cursor that cannot be read gives the first page."""
    key = parse_cursor(cursor)
    rows = cases.newest_first()
    if key:
        rows = rows.after(created_at=key[0], pk=key[1])
    found = list(rows[: size + 1])
    more = len(found) > size
    return Page(found[:size], make_cursor(found[size - 1]) if more else "", is_first=key is None)


def make_cursor(case: Case) -> str:
    return f"{case.created_at.isoformat()}{SEPARATOR}{case.pk}"


def parse_cursor(text: str) -> tuple[datetime, UUID] | None:
    """The key in a cursor, or None for anything else."""
    moment, _, pk = text.partition(SEPARATOR)
    try:
        created_at = parse_datetime(moment)
        key = UUID(pk)
    except ValueError:
        return None
    if created_at is None or timezone.is_naive(created_at):
        return None
    return created_at, key
