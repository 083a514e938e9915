"""What a metrics page says, as numbers."""

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from diagnostics.monitoring.collector import PortalCollector


def read_page(text: str) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    """Values by sample name and labels."""
    found: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def fresh_figures() -> CollectorRegistry:
    """The figures from the rows, read now: the page's own collector keeps them for a while."""
    registry = CollectorRegistry()
    registry.register(PortalCollector())
    return registry


def counted(name: str, **labels: str) -> float:
    """What this process has counted so far."""
    return REGISTRY.get_sample_value(name, labels) or 0.0
