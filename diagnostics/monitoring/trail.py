"""The audit log in numbers."""

from collections import Counter
from collections.abc import Iterator
from threading import Lock

from django.db.models import Count
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from accounts.audit import chain_head
from accounts.models import AuditAction, AuditEvent, AuditOutcome


class AuditTally:
    """Entries by action and outcome. The log only grows and has no gaps: what was counted is not read again."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._upto = 0
        self._counts: Counter[tuple[str, str]] = Counter()

    def describe(self) -> Iterator[Metric]:
        counts = self._count_on()
        family = CounterMetricFamily("portal_audit_entries", "Entries of the audit log.", labels=["action", "outcome"])
        for (action, outcome), count in sorted(counts.items()):
            family.add_metric([action, outcome], count)
        failed = (AuditAction.LOGIN_FAILED, AuditAction.LOGIN_LOCKED)
        yield family
        logins = CounterMetricFamily("portal_login_failures", "Log-ins that failed or were refused.", labels=["kind"])
        for action in failed:
            logins.add_metric([action], sum(counts[action, outcome] for outcome in AuditOutcome.values))
        yield logins

    def _count_on(self) -> Counter[tuple[str, str]]:
        with self._lock:
            end = chain_head().sequence
            if end < self._upto:  # another log than before: a restored database
                self._upto, self._counts = 0, Counter()
            new = AuditEvent.objects.filter(sequence__gt=self._upto, sequence__lte=end).order_by()
            for action, outcome, count in new.values_list("action", "outcome").annotate(Count("sequence")):
                self._counts[action, outcome] += count
            self._upto = end
            return Counter(self._counts)
