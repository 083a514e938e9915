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
from django.utils import timezone

from diagnostics import storage
from diagnostics.models import Case, GateOverride, Prediction
from diagnostics.monitoring import instruments
from diagnostics.querysets import unless_drawn
from diagnostics.services.versions import last_resumed
from mlmodel import api

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one claimed case, on its way to the database."""

    case: Case
    outcome: api.Outcome
    engine: str
    heatmap_key: str = ""


def lease_end() -> models.expressions.CombinedExpression:
    """By the database's clock: a worker with a wrong clock steals nothing."""
    return Now() + timedelta(seconds=settings.WORKER_LEASE_SECONDS)


def claim_cases(*, worker: str, limit: int, hands_free: bool = True) -> list[Case]:
    """Take the longest waiting cases: state, attempt and lease in one step, before any film is opened.

    A case that was interrupted before is taken alone, and for its last attempt only by a worker that has nothing else in hand,
    so that a film which kills workers harms no neighbour.
    """
    if not Case.objects.queued().exists() or api.versions_in_service().active is None:
        return []  # while no version is in service, films wait and lose no attempt
    with transaction.atomic():
        rows = list(Case.objects.queued().select_for_update(skip_locked=True).values_list("pk", "attempt")[:limit])
        chosen = alone_if_interrupted(rows, hands_free=hands_free)
        Case.objects.filter(pk__in=chosen, state=Case.State.QUEUED).update(
            state=Case.State.PROCESSING,
            attempt=F("attempt") + 1,
            worker=worker,
            lease_until=lease_end(),
            started_at=Now(),
        )
        return list(Case.objects.filter(pk__in=chosen, worker=worker, state=Case.State.PROCESSING).select_related("patient"))


def alone_if_interrupted(rows: list[tuple[UUID, int]], *, hands_free: bool) -> list[UUID]:
    """Of rows with the number of their earlier tries, those to take together: see `claim_cases`."""
    if rows and rows[0][1] > 0:
        is_last = rows[0][1] + 1 >= settings.ANALYSIS_MAX_ATTEMPTS
        return [rows[0][0]] if hands_free or not is_last else []
    return [pk for pk, attempt in rows if attempt == 0]


def is_last_try(case: Case) -> bool:
    """Whether a claimed case that was interrupted before fails if it is interrupted again."""
    return 1 < case.attempt >= settings.ANALYSIS_MAX_ATTEMPTS


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
    """Write a batch of outcomes in one transaction, each behind its fence; returns how many were ours to write.

    A result whose row was given to another worker is dropped with its heatmap. One that was written before, by a commit whose
    answer was lost, keeps it. A result that the database does not accept fails alone.
    """
    try:
        return _store_together(results)
    except (IntegrityError, DataError):
        return sum(_store_alone(result) for result in results)


def _store_together(results: Sequence[Result]) -> int:
    with transaction.atomic():
        written = [result for result in results if _finish(result)]
        kept = _write_predictions([result for result in written if isinstance(result.outcome, api.Finding)])
        for result in results:
            if result not in kept and result.heatmap_key and not _is_stored(result):
                transaction.on_commit(partial(storage.delete_quietly, result.heatmap_key))
        transaction.on_commit(partial(_count_results, written, kept))
    return len(written)


def _count_results(written: Sequence[Result], new: Sequence[Result]) -> None:
    """For the metrics, once they are committed: how long each took, and what the new ones say."""
    now, resumed = timezone.now(), last_resumed()
    for result in written:
        instruments.RESULT_SECONDS.observe(max(0.0, (now - max(result.case.queued_at, resumed)).total_seconds()))
        if isinstance(result.outcome, api.Refusal):
            instruments.REFUSALS.labels("reading", result.outcome.code).inc()
    for outcome in (result.outcome for result in new):
        if isinstance(outcome, api.Finding):
            stages = asdict(outcome.timings)
            instruments.observe_finding(
                version=outcome.model_version, label=outcome.label, probability=outcome.probability, stages=stages
            )


def _store_alone(result: Result) -> int:
    try:
        return _store_together([result])
    except (IntegrityError, DataError):
        # Not the error's text: PostgreSQL quotes the row in it.
        logger.error("case %s: the database did not accept the result", result.case.pk)  # noqa: TRY400
        fail_case(case=result.case, code="INTERNAL")
        if result.heatmap_key:
            storage.delete_quietly(result.heatmap_key)
        return 0


def _finish(result: Result) -> bool:
    """The case's final state, if the claim still holds."""
    outcome = result.outcome
    columns: dict[str, Any]
    if isinstance(outcome, api.Refusal):
        columns = {"state": Case.State.REFUSED, "refusal_code": outcome.code}
        if outcome.code == "UNREADABLE":  # a film that cannot be decoded cannot be drawn either
            columns["display"] = unless_drawn(Case.Display.UNAVAILABLE)
    else:
        columns = {"state": Case.State.DONE}
    return bool(held(result.case).update(lease_until=None, finished_at=Now(), **columns))


def _write_predictions(results: Sequence[Result]) -> list[Result]:
    """One row each, unless the case has one of this version: that was written first and never changes. Returns those written.

    What the version said of a case while it was in shadow was never shown, and gives way.
    """
    earlier = Prediction.objects.filter(case__in=[result.case for result in results])
    known = {(row.case_id, row.model_version): row for row in earlier}
    rows, kept, unseen = [], [], []
    for result in results:
        row = _prediction(result)
        before = known.get((row.case_id, row.model_version))
        if before is not None and before.is_shadow:
            unseen.append(before.pk)
        if before is None or before.is_shadow:
            rows.append(row)
            kept.append(result)
    if unseen:
        Prediction.objects.filter(pk__in=unseen).delete()
    Prediction.objects.bulk_create(rows)
    return kept


def _prediction(result: Result) -> Prediction:
    assert isinstance(result.outcome, api.Finding)  # noqa: S101 - for the type alone
    columns = prediction_columns(result.outcome, result.engine)
    return Prediction(case=result.case, model_version=result.outcome.model_version, heatmap_key=result.heatmap_key, **columns)


def prediction_columns(finding: api.Finding, engine: str) -> dict[str, Any]:
    """What a prediction's row keeps of a finding."""
    return {
        "probability": finding.probability,
        "threshold": finding.threshold,
        "label": finding.label,
        "engine": engine,
        "timings": asdict(finding.timings),
        "heat_in_lung": finding.heat_in_lung,
        "flags": list(finding.flags),
    }


def overridden_codes(cases: Sequence[Case]) -> dict[UUID, frozenset[str]]:
    """The refusals that a radiologist has set aside, for each case; one query."""
    codes: dict[UUID, set[str]] = {case.pk: set() for case in cases}
    for pk, code in GateOverride.objects.filter(case__in=cases).values_list("case_id", "code"):
        codes[pk].add(code)
    return {pk: frozenset(found) for pk, found in codes.items()}


def _is_stored(result: Result) -> bool:
    return Prediction.objects.filter(case=result.case, heatmap_key=result.heatmap_key).exists()


def fail_case(*, case: Case, code: str) -> bool:
    """End the claim for good."""
    display = unless_drawn(Case.Display.UNAVAILABLE)
    columns = {"state": Case.State.FAILED, "failure_code": code, "display": display}
    if not held(case).update(lease_until=None, finished_at=Now(), **columns):
        return False
    instruments.FAILURES.labels(code).inc()
    return True


def release_case(*, case: Case, code: str) -> None:
    """A transient error: back to the queue, or failed with that code when the attempts are used up."""
    if case.attempt >= settings.ANALYSIS_MAX_ATTEMPTS:
        fail_case(case=case, code=code)
        return
    held(case).update(state=Case.State.QUEUED, lease_until=None, worker="")


def return_case(*, case: Case) -> None:
    """What could not be begun, or not be kept, goes back to the queue, and the attempt with it: the film is not to blame."""
    held(case).update(state=Case.State.QUEUED, lease_until=None, worker="", attempt=F("attempt") - 1)


def give_up_expired_leases() -> tuple[int, int]:
    """Claims whose worker is gone: (re-queued, failed because the attempts are used up)."""
    over = Case.objects.lease_over().order_by()
    used_up = Q(attempt__gte=settings.ANALYSIS_MAX_ATTEMPTS)
    failed = over.filter(used_up).update(
        state=Case.State.FAILED,
        failure_code="WORKER_LOST",
        lease_until=None,
        finished_at=Now(),
        display=unless_drawn(Case.Display.UNAVAILABLE),
    )
    requeued = over.exclude(used_up).update(state=Case.State.QUEUED, lease_until=None, worker="")
    return requeued, failed


def seconds_until_lease_over() -> float | None:
    """Until the next claim's lease runs out, by the database's clock; None where nothing is claimed."""
    claimed = Case.objects.filter(state=Case.State.PROCESSING, lease_until__isnull=False).order_by("lease_until")
    row = claimed.values_list("lease_until", Now()).first()
    return (row[0] - row[1]).total_seconds() if row else None
