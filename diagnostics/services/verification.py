"""Does every row have its object, with the bytes that were accepted, and every object its row?

Rows and objects are read side by side in the order of their keys, so that neither is ever held in memory as a whole.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Collate
from django.utils import timezone

from diagnostics import storage
from diagnostics.exceptions import StorageUnavailableError, StoredFilmDamagedError
from diagnostics.models import Case, Prediction
from diagnostics.storage import DISPLAYS, HEATMAPS, ORIGINALS, PROBES, StoredObject

GRACE = timedelta(hours=1)  # an upload has its object before its row: what is younger is no orphan yet
CHUNK = 2000  # rows in memory at once
UNREADABLE_IN_A_ROW = 20  # then it is the storage that is away, not an object that is damaged


class Kind(StrEnum):
    """What can be found; `FRESH` alone is nothing wrong."""

    MISSING = "missing"  # a row without its object
    DAMAGED = "damaged"  # other bytes than were accepted
    UNREADABLE = "unreadable"  # the storage does not give it out
    ORPHAN = "orphan"  # an object without a row
    UNFINISHED = "unfinished"  # left over from an upload that was cut off
    FRESH = "fresh"  # one of the last two, too young to tell


@dataclass(frozen=True, slots=True)
class Expected:
    """What a row says of an object. A derived picture has neither size nor hash in its row."""

    key: str
    case_id: UUID
    size: int | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    kind: Kind
    key: str
    case_id: UUID | None = None
    stored: StoredObject | None = None


def count_rows() -> int:
    """How many objects there should be: the length of the work."""
    originals = Case.objects.with_film()
    return originals.count() + originals.filter(display=Case.Display.READY).count() + _with_heatmap().count()


def verify_storage(*, quick: bool = False, advance: Callable[[int], None] = lambda _: None) -> Iterator[Finding]:
    """Everything that is not as it should be, while it is found. `quick`: originals are not read, only their sizes compared.

    Raises `StorageUnavailableError` where the storage cannot be listed, or gives out nothing any more.
    """
    old = timezone.now() - GRACE
    unreadable = 0
    for row, stored in _all_pairs():
        finding = _judge(row, stored, old, quick=quick)
        unreadable = unreadable + 1 if finding and finding.kind is Kind.UNREADABLE else 0
        if unreadable > UNREADABLE_IN_A_ROW:
            raise StorageUnavailableError("the storage gives out no film")
        if finding:
            yield finding
        advance(1 if row else 0)


def delete_orphan(finding: Finding) -> bool:
    """Remove it, unless a row names it by now or it is not old enough; raises `StorageUnavailableError`."""
    if finding.kind not in {Kind.ORPHAN, Kind.UNFINISHED} or finding.stored is None:
        return False
    if finding.kind is Kind.ORPHAN and _is_named(finding.key):
        return False
    storage.discard(finding.stored)
    return True


def _all_pairs() -> Iterator[tuple[Expected | None, StoredObject | None]]:
    for folder, read_rows in ((ORIGINALS, _originals), (DISPLAYS, _displays), (HEATMAPS, _heatmaps), (PROBES, _no_rows)):
        with closing(read_rows()) as rows:  # or its cursor would outlive a run that ends early
            yield from _side_by_side(rows, storage.list_folder(folder))


def _side_by_side(
    rows: Iterator[Expected], objects: Iterator[StoredObject]
) -> Iterator[tuple[Expected | None, StoredObject | None]]:
    """A merge of two sorted sequences: pairs of the same key, or one that has no partner."""
    row, stored = next(rows, None), next(objects, None)
    while row or stored:
        if stored and (stored.is_unfinished or row is None or stored.key < row.key):
            yield None, stored
            stored = next(objects, None)
        elif row and (stored is None or row.key < stored.key):
            yield row, None
            row = next(rows, None)
        else:
            yield row, stored
            row, stored = next(rows, None), next(objects, None)


def _judge(row: Expected | None, stored: StoredObject | None, old: datetime, *, quick: bool) -> Finding | None:
    if row is None:
        assert stored is not None  # noqa: S101 - one of the two is always there
        return _judge_unnamed(stored, old)
    kind_found = _examine(row, stored, quick=quick)
    # A second look at the row: its film may have been removed, or drawn anew, since it was read.
    if kind_found is None or not _is_named(row.key):
        return None
    return Finding(kind_found, row.key, row.case_id, stored)


def _judge_unnamed(stored: StoredObject, old: datetime) -> Finding | None:
    kind = Kind.UNFINISHED if stored.is_unfinished else Kind.ORPHAN
    if kind is Kind.ORPHAN and stored.key.startswith(DISPLAYS) and _is_named(stored.key):
        return None  # drawn, and the row does not say so yet
    return Finding(kind if stored.modified_at < old else Kind.FRESH, stored.key, stored=stored)


def _examine(row: Expected, stored: StoredObject | None, *, quick: bool) -> Kind | None:
    try:
        if stored is None and not storage.is_stored(row.key):  # asked again: the listing may be older than the row
            return Kind.MISSING
        if stored and stored.size != row.size and (row.size is not None or not stored.size):
            return Kind.DAMAGED
        if row.sha256 and not quick and storage.hash_stored(row.key) != row.sha256:
            return Kind.DAMAGED
    except StoredFilmDamagedError:
        return Kind.MISSING
    except StorageUnavailableError:
        return Kind.UNREADABLE
    return None


def _is_named(key: str) -> bool:
    """Whether a row names this object now."""
    folder, _, name = key.partition("/")
    if folder == HEATMAPS:
        return _with_heatmap().filter(heatmap_key=key).exists()
    try:
        named = Case.objects.with_film().filter(pk=UUID(name))
    except ValueError:
        return False
    if folder == DISPLAYS:
        return named.exclude(display=Case.Display.UNAVAILABLE).exists()
    return folder == ORIGINALS and named.exists()


def _originals() -> Generator[Expected, None, None]:
    rows = Case.objects.with_film().order_by("pk").values_list("pk", "original_key", "size_bytes", "sha256")
    for pk, key, size, sha256 in rows.iterator(chunk_size=CHUNK):
        yield Expected(key, pk, size, sha256)


def _displays() -> Generator[Expected, None, None]:
    rows = Case.objects.with_film().filter(display=Case.Display.READY).order_by("pk").values_list("pk", flat=True)
    for pk in rows.iterator(chunk_size=CHUNK):
        yield Expected(storage.display_key(pk), pk)


def _heatmaps() -> Generator[Expected, None, None]:
    rows = _with_heatmap().order_by(by_bytes("heatmap_key")).values_list("heatmap_key", "case_id")
    for key, case_id in rows.iterator(chunk_size=CHUNK):
        yield Expected(key, case_id)


def by_bytes(column: str) -> Collate:
    """The order in which a storage lists its keys, whatever the database's language."""
    return Collate(column, "C" if connection.vendor == "postgresql" else "BINARY")


def _no_rows() -> Generator[Expected, None, None]:
    yield from ()


def _with_heatmap() -> QuerySet[Prediction]:
    return Prediction.objects.filter(heatmap_key__gt="", case__purged_at=None)
