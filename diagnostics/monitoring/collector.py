"""All figures from the rows as one collector: each part is read again only after its time, however often somebody scrapes."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from threading import Lock

from django.db import DatabaseError
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from diagnostics.monitoring import figures
from diagnostics.monitoring.trail import AuditTally
from mlmodel.api import ModelError

OFTEN, SELDOM = 5.0, 30.0  # seconds; the first is less than the time between two scrapes, or a counter could seem to go back

logger = logging.getLogger(__name__)


class _Part:
    """One group of figures, kept for a while; nothing is told of what cannot be read."""

    def __init__(self, name: str, read: Callable[[], Iterable[Metric]], seconds: float) -> None:
        self.name, self._read, self._seconds = name, read, seconds
        self._lock = Lock()
        self._until, self._kept = 0.0, list[Metric]()
        self.is_readable = True

    def tell(self) -> list[Metric]:
        with self._lock:
            if time.monotonic() >= self._until:
                self._kept = self._read_again()
                self._until = time.monotonic() + self._seconds
            return self._kept

    def _read_again(self) -> list[Metric]:
        try:
            found = list(self._read())
        except (DatabaseError, ModelError) as error:
            logger.warning("figures of %s cannot be read: %s", self.name, type(error).__name__)
            self.is_readable = False
            return []
        self.is_readable = True
        return found


class PortalCollector(Collector):
    """What the rows say. The database may be down: then `portal_figures_readable` is 0 and the rest of the page still comes."""

    def __init__(self) -> None:
        self._parts = [
            _Part("queue", figures.describe_queue, OFTEN),
            _Part("cases", figures.describe_cases, SELDOM),
            _Part("model", figures.describe_model, SELDOM),
            _Part("audit", AuditTally().describe, OFTEN),
        ]

    def collect(self) -> Iterator[Metric]:
        readable = GaugeMetricFamily("portal_figures_readable", "Whether the rows could be read.", labels=["part"])
        for part in self._parts:
            yield from part.tell()
            readable.add_metric([part.name], part.is_readable)
        yield readable

    def describe(self) -> list[Metric]:
        """Nothing is read when the collector is registered: the database may not be there yet."""
        return []
