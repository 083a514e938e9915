"""What repairs lost wake-up calls and lost workers, however they were lost."""

import json
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from accounts import audit
from diagnostics import queue, storage
from diagnostics.exceptions import StorageUnavailableError
from diagnostics.models import Case
from diagnostics.monitoring import instruments
from diagnostics.services.analysis import give_up_expired_leases, seconds_until_lease_over
from diagnostics.services.heartbeat import forget_old_workers
from diagnostics.services.unsaved import forget_unsaved_reviews

RING_LIMIT = 100  # cases rung for in one pass
HEAD_EVERY = timedelta(minutes=10)
LEAST_PAUSE = 0.5  # seconds between two passes

logger = logging.getLogger(__name__)


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
    forget_unsaved_reviews()
    keep_audit_head()
    _count(requeued, failed, rung)
    oldest = Case.objects.queued().values_list("queued_at", flat=True).first()
    return Reconciliation(requeued, failed, rung, oldest)


def seconds_to_next_pass(*, interval: float) -> float:
    """At most `interval`, and sooner where a lease ends sooner: what a lost worker held waits for its lease alone."""
    left = seconds_until_lease_over()
    return interval if left is None else min(interval, max(left, LEAST_PAUSE))


def _count(requeued: int, failed: int, rung: int) -> None:
    instruments.LEASES_EXPIRED.labels("requeued").inc(requeued)
    instruments.LEASES_EXPIRED.labels("failed").inc(failed)
    instruments.FAILURES.labels("WORKER_LOST").inc(failed)
    instruments.WAKEUPS_REPAIRED.inc(rung)
    instruments.RECONCILED.set_to_current_time()


def keep_audit_head() -> None:
    """Say where the audit log ends, in this process's own log and beside the films.

    What is kept there convicts whoever cuts the log off or writes it anew.
    """
    head = audit.export_head(every=HEAD_EVERY)
    if head is None:
        return
    logger.info("audit log ends at entry %s with digest %s", head.sequence, head.digest)
    try:
        storage.save_derived(storage.audit_head_key(head.sequence), json.dumps(head.as_dict()).encode())
    except StorageUnavailableError as error:
        logger.warning("the end of the audit log was not kept beside the films: %s", error)
