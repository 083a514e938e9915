"""The page that Prometheus reads: the counters of all web processes of this machine, then what the rows say."""

import os

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from diagnostics.monitoring.collector import PortalCollector
from pneumo_site.process_metrics import VARIABLE

_rows = CollectorRegistry()
_rows.register(PortalCollector())


def render_metrics() -> tuple[bytes, str]:
    """The page and its content type."""
    return generate_latest(_counters()) + generate_latest(_rows), CONTENT_TYPE_LATEST


def _counters() -> CollectorRegistry:
    if not os.environ.get(VARIABLE):
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
