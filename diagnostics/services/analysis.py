"""The worker's verbs on rows. Each is one conditional UPDATE; none holds a transaction while something is computed."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DataError, IntegrityError, models, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from diagnostics import storage
from diagnostics.models import Case, Prediction
from mlmodel import api

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one claimed case, on its way to the database."""

    case: Case
    outcome: api.Outcome
    engine: str
    pixel_sha256: str = ""
    heatmap_key: str = ""


def lease_end() -> models.expressions.CombinedExpression:
    """By the database's clock: a worker with a wrong clock steals nothing."""
    return Now() + timedelta(seconds=settings.WORKER_LEASE_SECONDS)


def claim_cases(*, worker: str, limit: int) -> list[Case]:
    """Take the longest waiting cases: state, attempt and lease in one step, before any film is opened.

    A case that was interrupted before is taken alone, so that a film which kills workers harms no neighbour.
    """
    if not Case.objects.queued().exists():
        return []
    with transaction.atomic():
        rows = list(Case.objects.queued().select_for_update(skip_locked=True).values_list("pk", "attempt")[:limit])
        chosen = _alone_if_interrupted(rows)
        Case.objects.filter(pk__in=chosen, state=Case.State.QUEUED).update(
            state=Case.State.PROCESSING,
            attempt=F("attempt") + 1,
            worker=worker,
            lease_until=lease_end(),
            started_at=Now(),
        )
        return list(Case.objects.filter(pk__in=chosen, worker=worker, state=Case.State.PROCESSING).select_related("patient"))


def _alone_if_interrupted(rows: list[tuple[UUID, int]]) -> list[UUID]:
    if rows and rows[0][1] > 0:
        return [rows[0][0]]
    return [pk for pk, attempt in rows if attempt == 0]


def held(case: Case) -> QuerySet[Case]:
    """The row, if it is still this claim's: state, attempt and worker are the fence against a worker that was given up.

    The worker's name is part of it because a requeue starts the attempts afresh.
    """
    return Case.objects.filter(pk=case.pk, state=Case.State.PROCESSING, attempt=case.attempt, worker=case.worker)


def renew_leases(*, cases: Sequence[Case]) -> None:
    """Say that these claims are alive."""
    for case in cases:
        held(case).update(lease_until=lease_end())


def store_results(*, results: Sequence[Result]) -> int:
    """Write a batch of outcomes, each behind its fence; returns how many were ours to write.

    A result whose row was given to another worker is dropped with its heatmap. One that was written before, by a commit whose
    answer was lost, keeps it.
    """
    stored = 0
    with transaction.atomic():
        for result in results:
            try:
                with transaction.atomic():
                    written = _store_result(result)
            except (IntegrityError, DataError):
                # Not the error's text: PostgreSQL quotes the row in it.
                logger.error("case %s: the database did not accept the result", result.case.pk)  # noqa: TRY400
                written = False
                fail_case(case=result.case, code="INTERNAL")
            stored += written
            if not written and result.heatmap_key and not _is_stored(result):
                transaction.on_commit(partial(storage.delete_quietly, result.heatmap_key))
    return stored


def _store_result(result: Result) -> bool:
    outcome = result.outcome
    if isinstance(outcome, api.Refusal):
        return _finish(result, state=Case.State.REFUSED, refusal_code=outcome.code, display=_display_after(outcome))
    if not _finish(result, state=Case.State.DONE):
        return False
    Prediction.objects.get_or_create(
        case=result.case,
        model_version=outcome.model_version,
        defaults={
            "probability": outcome.probability,
            "threshold": outcome.threshold,
            "label": outcome.label,
            "engine": result.engine,
            "timings": asdict(outcome.timings),
            "heatmap_key": result.heatmap_key,
        },
    )
    return True


def _is_stored(result: Result) -> bool:
    return Prediction.objects.filter(case=result.case, heatmap_key=result.heatmap_key).exists()


def _finish(result: Result, **columns: Any) -> bool:
    if result.pixel_sha256:
        columns |= {"pixel_sha256": result.pixel_sha256, "duplicate_of": _earlier_copy(result)}
    return bool(held(result.case).update(lease_until=None, finished_at=Now(), **columns))


def _earlier_copy(result: Result) -> Case | None:
    """The first case with this film, now that its pixels are known too."""
    case = result.case
    case.pixel_sha256 = result.pixel_sha256
    return Case.objects.same_film(case).order_by("created_at").first()


def _display_after(refusal: api.Refusal) -> str:
    """A film that cannot be decoded cannot be shown either."""
    return Case.Display.UNAVAILABLE if refusal.code == "UNREADABLE" else Case.Display.PENDING


def fail_case(*, case: Case, code: str) -> bool:
    """End the claim for good."""
    return bool(
        held(case).update(
            state=Case.State.FAILED, failure_code=code, lease_until=None, finished_at=Now(), display="unavailable"
        )
    )


def release_case(*, case: Case, code: str) -> None:
    """A transient error: back to the queue, or failed with that code when the attempts are used up."""
    if case.attempt >= settings.ANALYSIS_MAX_ATTEMPTS:
        fail_case(case=case, code=code)
        return
    held(case).update(state=Case.State.QUEUED, lease_until=None, worker="")


def return_case(*, case: Case) -> None:
    """What could not even be begun goes back to the queue, and the attempt with it: the film is not to blame."""
    held(case).update(state=Case.State.QUEUED, lease_until=None, worker="", attempt=F("attempt") - 1)


def set_display(*, case: Case, display: str) -> None:
    """The picture for the browser is there, or never will be."""
    Case.objects.filter(pk=case.pk, display=Case.Display.PENDING).update(display=display)


def give_up_expired_leases() -> tuple[int, int]:
    """Claims whose worker is gone: (re-queued, failed because the attempts are used up)."""
    over = Case.objects.lease_over().order_by()
    used_up = Q(attempt__gte=settings.ANALYSIS_MAX_ATTEMPTS)
    failed = over.filter(used_up).update(
        state=Case.State.FAILED, failure_code="WORKER_LOST", lease_until=None, finished_at=Now(), display="unavailable"
    )
    requeued = over.exclude(used_up).update(state=Case.State.QUEUED, lease_until=None, worker="")
    return requeued, failed
