"""What an administrator or operator may do to a case: have it analysed again, or stop it."""

from django.db import transaction
from django.db.models.functions import Now

from accounts.audit import Action
from accounts.models import User
from diagnostics import queue
from diagnostics.models import Case
from diagnostics.monitoring.instruments import FAILURES
from diagnostics.querysets import unless_drawn
from diagnostics.services.trail import record_case

REPEATABLE = (Case.State.FAILED, Case.State.REFUSED)
STOPPABLE = (Case.State.QUEUED, Case.State.PROCESSING)


def requeue_case(*, case: Case, by: User | None = None) -> bool:
    """Put a failed or refused case back into the queue with fresh attempts; false where its state does not allow it.

    `by` is None for a command, here and below.
    """
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
                display=unless_drawn(Case.Display.PENDING),
                display_attempt=0,
                queued_at=Now(),
                started_at=None,
                finished_at=None,
                first_viewed_at=None,
            )
        )
        if changed:
            queue.wake_worker(case.pk)
            record_case(Action.REQUEUED, case=case, actor=by)
    return bool(changed)


@transaction.atomic
def cancel_case(*, case: Case, by: User | None = None) -> bool:
    """Stop a waiting or running analysis; the fence drops a result that comes later. False where it was final already."""
    changed = Case.objects.filter(pk=case.pk, state__in=STOPPABLE).update(
        state=Case.State.FAILED,
        failure_code="CANCELLED",
        lease_until=None,
        finished_at=Now(),
        display=unless_drawn(Case.Display.UNAVAILABLE),
    )
    if changed:
        record_case(Action.CANCELLED, case=case, actor=by)
        transaction.on_commit(FAILURES.labels("CANCELLED").inc)
    return bool(changed)
