"""Figures read from the rows: the same whichever process is asked, so that nothing is counted twice.

Each function is a handful of bounded queries. Of several web machines each tells the same: take `max by`, never `sum`.
"""

from collections.abc import Iterator

from django.db.models import Count
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from diagnostics.models import Case, Prediction, Review, Worker
from diagnostics.monitoring.standing import Standing, take_standing
from diagnostics.services.heartbeat import SILENT_SECONDS
from diagnostics.services.versions import waits_since
from mlmodel import api


def describe_queue() -> Iterator[Metric]:
    """What waits, for how long, and who works on it. While service is suspended nothing waits for a worker."""
    suspended_since = api.versions_in_service().since
    yield GaugeMetricFamily(
        "portal_analysis_suspended", "1 while no version is in service, by the stop rule.", bool(suspended_since)
    )
    oldest = None if suspended_since else Case.objects.queued().values_list("queued_at", flat=True).first()
    seconds = max(0.0, (timezone.now() - waits_since(oldest)).total_seconds()) if oldest else 0.0
    yield GaugeMetricFamily(
        "portal_oldest_waiting_seconds", "How long the oldest queued case has waited while a version was in service.", seconds
    )
    alive = Worker.objects.alive(seconds=SILENT_SECONDS).order_by()
    by_version = alive.values_list("model_version").annotate(Count("pk"))
    workers = GaugeMetricFamily("portal_workers", "Workers whose heart beats, by the version they serve.", labels=["version"])
    for version, count in by_version:
        workers.add_metric([version], count)
    yield workers
    yield GaugeMetricFamily("portal_workers_alive", "Workers whose heart beats.", sum(count for _, count in by_version))
    troubled = alive.filter(model_error__gt="").count()
    yield GaugeMetricFamily(
        "portal_workers_degraded", "Workers that cannot load the active version, or could not again.", troubled
    )


def describe_cases() -> Iterator[Metric]:
    """Every case by its state."""
    states = dict(Case.objects.order_by().values_list("state").annotate(Count("pk")))
    cases = GaugeMetricFamily("portal_cases", "Cases by state.", labels=["state"])
    for state in Case.State.values:
        cases.add_metric([state], states.get(state, 0))
    yield cases


def describe_model() -> Iterator[Metric]:
    """The version in service and how it stands.

    Agreement, sensitivity and predictive value are quotients of what is counted here: recording rules form them.
    """
    standing = take_standing()
    info = GaugeMetricFamily("portal_model_info", "1 for the version in service, 0 for one that was.", labels=["version"])
    info.add_metric([standing.version], api.versions_in_service().active == standing.version)
    yield info
    yield _one("portal_score_psi_films", "Latest films that the PSI is of.", standing.version, len(standing.scores))
    if (psi := standing.psi) is not None:
        yield _one("portal_score_psi", "Population stability index against validation.", standing.version, psi)
    yield from _describe_signed(standing)
    broken = GaugeMetricFamily("portal_stop_rule_broken", "Stop rules that are set, 1 where broken.", labels=["rule"])
    for rule, is_broken in standing.broken_rules.items():
        broken.add_metric([rule], is_broken)
    yield broken


def _describe_signed(standing: Standing) -> Iterator[Metric]:
    verdicts = GaugeMetricFamily(
        "portal_signed_verdicts", "Latest signed verdicts on the version's results.", labels=["version", "verdict"]
    )
    for verdict in Review.Verdict.values:
        verdicts.add_metric([standing.version, verdict], sum(row[0] == verdict for row in standing.signed))
    yield verdicts
    cases = GaugeMetricFamily(
        "portal_signed_cases", "The same cases by label and finding.", labels=["version", "label", "finding"]
    )
    for label in Prediction.Label.values:
        for finding in Review.Finding.values:
            count = sum(row[1:] == (label, finding) for row in standing.signed)
            cases.add_metric([standing.version, label, finding], count)
    yield cases


def _one(name: str, meaning: str, version: str, value: float) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, meaning, labels=["version"])
    family.add_metric([version], value)
    return family
