"""What an administrator or operator may do to a case: have it analysed again, or stop it."""

from django.db import transaction
from django.db.models.functions import Now

from diagnostics import queue
from diagnostics.models import Case

REPEATABLE = (Case.State.FAILED, Case.State.REFUSED)
STOPPABLE = (Case.State.QUEUED, Case.State.PROCESSING)


def requeue_case(*, case: Case) -> bool:
    """Put a failed or refused case back into the queue with fresh attempts; false where its state does not allow it."""
    with transaction.atomic():
        changed = (
            Case.objects.with_film()
            .filter(pk=case.pk, state__in=REPEATABLE)
            .update(
                state=Case.State.QUEUED,
                attempt=0,
                worker="",
                refusal_code="",
                failure_code="",
                display=Case.Display.PENDING,
                queued_at=Now(),
                started_at=None,
                finished_at=None,
                first_viewed_at=None,
            )
        )
        if changed:
            queue.wake_worker(case.pk)
    return bool(changed)


def cancel_case(*, case: Case) -> bool:
    """Stop a waiting or running analysis; the fence drops a result that comes later. False where it was final already."""
    return bool(
        Case.objects.filter(pk=case.pk, state__in=STOPPABLE).update(
            state=Case.State.FAILED,
            failure_code="CANCELLED",
            lease_until=None,
            finished_at=Now(),
            display=Case.Display.UNAVAILABLE,
        )
    )
