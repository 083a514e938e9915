"""Films go when the hospital's retention time is over; the case, its result and its reviews stay.

The row says first that the film is removed, then the bytes go, then the row forgets its key: a run that is interrupted leaves
a row that is marked and still names a key, and the next run goes on there.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from accounts.audit import Action
from diagnostics import storage
from diagnostics.models import Case, Prediction
from diagnostics.querysets import CaseQuerySet
from diagnostics.services.trail import record_case
from diagnostics.services.verification import by_bytes

BATCH = 200  # rows in memory at once
FIRST_KEY = UUID(int=0)


@dataclass(slots=True)
class PurgeReport:
    """`removed` films in this run, `size_bytes` of their originals."""

    removed: int = 0
    size_bytes: int = 0


def to_purge(*, days: int) -> CaseQuerySet:
    """Films whose time is over, and those that an earlier run began with. 0 days: films are kept for ever."""
    begun = Case.objects.purge_begun()
    return begun | Case.objects.kept_longer_than(days=days) if days else begun


def purge_expired_images(*, days: int, advance: Callable[[int], None] = lambda _: None) -> PurgeReport:
    """Remove the bytes of each such film: original, picture for the browser, heatmaps. Two runs at once do no harm.

    Raises `StorageUnavailableError` at the first object that cannot be removed; the next run finishes it.
    """
    report = PurgeReport()
    for case in _one_by_one(to_purge(days=days)):
        if case.purged_at is not None or _mark_removed(case, days):
            _remove_bytes(case)
            report.removed += 1
            report.size_bytes += case.size_bytes
        advance(1)
    return report


def removed_objects() -> Iterator[tuple[str, datetime]]:
    """The key of each object that is removed for good, in the order of the keys, and when its film was."""
    removed = Case.objects.filter(purged_at__isnull=False).order_by("pk")
    for key_of in (storage.original_key, storage.display_key):
        for case in removed.only("pk", "purged_at").iterator(chunk_size=BATCH):
            if case.purged_at:
                yield key_of(case.pk), case.purged_at
    heatmaps = Prediction.objects.filter(heatmap_key__gt="", case__purged_at__isnull=False).order_by(by_bytes("heatmap_key"))
    for key, at in heatmaps.values_list("heatmap_key", "case__purged_at").iterator(chunk_size=BATCH):
        if at:
            yield key, at


def finish_removals(removed: Iterable[tuple[UUID, datetime]]) -> list[UUID]:
    """Of rows that were restored from before the removal of their films: where not all of one came back, it is removed again.

    Answers with the cases that still waited for an analysis: no film will ever come for them, so they have failed. Raises
    `StorageUnavailableError`.
    """
    waited, removals = list[UUID](), iter(removed)
    while batch := dict(islice(removals, BATCH)):
        for case in Case.objects.with_film().filter(pk__in=batch).order_by("pk"):
            if not _is_whole(case):
                waited += [] if case.is_final else [case.pk]
                _finish_removal(case, batch[case.pk])
    return waited


def _finish_removal(case: Case, at: datetime) -> None:
    columns: dict[str, Any] = {"purged_at": at, "display": Case.Display.UNAVAILABLE}
    if not case.is_final:
        columns |= {"state": Case.State.FAILED, "failure_code": "FILM_DAMAGED", "finished_at": Now(), "lease_until": None}
    with transaction.atomic():
        Case.objects.filter(pk=case.pk).update(**columns)
        record_case(Action.FILM_PURGED, case=case, actor=None, details={"restored": True})
    _remove_bytes(case)


def _is_whole(case: Case) -> bool:
    """One that waits for an analysis needs its original alone: all else is made again."""
    keys = [case.original_key]
    if case.is_final:
        keys += case.predictions.filter(heatmap_key__gt="").values_list("heatmap_key", flat=True)
    if case.is_final and case.display == Case.Display.READY:
        keys.append(storage.display_key(case.pk))
    return all(storage.is_stored(key) for key in keys)


def _one_by_one(cases: CaseQuerySet) -> Iterator[Case]:
    last = FIRST_KEY
    while batch := list(cases.filter(pk__gt=last).order_by("pk")[:BATCH]):
        yield from batch
        last = batch[-1].pk


def _mark_removed(case: Case, days: int) -> bool:
    """The row's change; false where the case has gone back to the queue meanwhile, or another run was first."""
    kept = Case.objects.kept_longer_than(days=days).filter(pk=case.pk)
    with transaction.atomic():
        marked = bool(kept.update(purged_at=Now(), display=Case.Display.UNAVAILABLE))
        if marked:
            record_case(Action.FILM_PURGED, case=case, actor=None, details={"days": days})
    return marked


def _remove_bytes(case: Case) -> None:
    heatmaps = Prediction.objects.filter(case=case, heatmap_key__gt="").values_list("heatmap_key", flat=True)
    for key in (*heatmaps, storage.display_key(case.pk), storage.original_key(case.pk)):
        storage.delete_film(key)
    Case.objects.filter(pk=case.pk, purged_at__isnull=False).update(original_key="")
