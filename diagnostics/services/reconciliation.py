"""What repairs lost wake-up calls and lost workers, however they were lost; and what stops a version beyond its bounds."""

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
from diagnostics.services.stop_rule import enforce_stop_rule
from diagnostics.services.unsaved import forget_unsaved_reviews
from diagnostics.services.versions import suspended_since

RING_LIMIT = 100  # cases rung for in one pass
HEAD_EVERY = timedelta(minutes=10)
MOST_PAUSE = 10.0  # seconds between two passes
LEAST_PAUSE = 0.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Counts of one pass, since when the oldest case waits, and whether this pass took the version out of service."""

    requeued: int
    failed: int
    rung: int
    oldest_queued_at: datetime | None
    suspended: bool = False


def reconcile() -> Reconciliation:
    """One pass: expired leases back to the queue or to `failed`, the stop rule, and a new call for what waits too long.

    While no version is in service nobody is called: there is nothing that a worker may do.
    """
    requeued, failed = give_up_expired_leases()
    suspended = enforce_stop_rule()
    rung = 0 if suspended_since() else _ring_for_overdue()
    forget_old_workers()
    forget_unsaved_reviews()
    keep_audit_head()
    _count(requeued, failed, rung)
    oldest = Case.objects.queued().values_list("queued_at", flat=True).first()
    return Reconciliation(requeued, failed, rung, oldest, suspended)


def _ring_for_overdue() -> int:
    overdue = Case.objects.overdue(seconds=settings.REQUEUE_AFTER_SECONDS)
    return sum(queue.ring(pk) for pk in overdue.values_list("pk", flat=True)[:RING_LIMIT])


def seconds_to_next_pass(*, interval: float = MOST_PAUSE) -> float:
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
