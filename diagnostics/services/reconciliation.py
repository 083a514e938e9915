"""What repairs lost wake-up calls and lost workers, however they were lost."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from diagnostics import queue
from diagnostics.models import Case
from diagnostics.services.analysis import give_up_expired_leases
from diagnostics.services.heartbeat import forget_old_workers

RING_LIMIT = 100  # cases rung for in one pass


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Counts of one pass, and since when the oldest case waits."""

    requeued: int
    failed: int
    rung: int
    oldest_queued_at: datetime | None


def reconcile() -> Reconciliation:
    """One pass: expired leases back to the queue or to `failed`, and a new call for what waits too long."""
    requeued, failed = give_up_expired_leases()
    overdue = Case.objects.overdue(seconds=settings.REQUEUE_AFTER_SECONDS)
    rung = sum(queue.ring(pk) for pk in overdue.values_list("pk", flat=True)[:RING_LIMIT])
    forget_old_workers()
    oldest = Case.objects.queued().values_list("queued_at", flat=True).first()
    return Reconciliation(requeued, failed, rung, oldest)
