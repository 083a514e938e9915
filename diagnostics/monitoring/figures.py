"""Figures read from the rows: the same whichever process is asked, so that nothing is counted twice.

Each function is a handful of bounded queries. Of several web machines each tells the same: take `max by`, never `sum`.
"""

from collections.abc import Iterator
from datetime import timedelta

from django.db.models import Count
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from diagnostics.models import Case, Prediction, Review, Worker
from diagnostics.monitoring.drift import MIN_FILMS, count_by_bin, stability_index
from diagnostics.monitoring.reference import reference_counts
from diagnostics.services.heartbeat import SILENT_SECONDS
from mlmodel import api

SCORES_WITHIN, SCORES_MOST = timedelta(days=30), 1000
SIGNED_WITHIN, SIGNED_MOST = timedelta(days=90), 2000


def describe_queue() -> Iterator[Metric]:
    """What waits, for how long, and who works on it."""
    oldest = Case.objects.queued().values_list("queued_at", flat=True).first()
    seconds = max(0.0, (timezone.now() - oldest).total_seconds()) if oldest else 0.0
    yield GaugeMetricFamily("portal_oldest_waiting_seconds", "How long the oldest queued case has waited.", seconds)
    alive = Worker.objects.alive(seconds=SILENT_SECONDS).order_by()
    by_version = alive.values_list("model_version").annotate(Count("pk"))
    workers = GaugeMetricFamily("portal_workers", "Workers whose heart beats, by the version they serve.", labels=["version"])
    for version, count in by_version:
        workers.add_metric([version], count)
    yield workers
    yield GaugeMetricFamily("portal_workers_alive", "Workers whose heart beats.", sum(count for _, count in by_version))
    troubled = alive.filter(model_error__gt="").count()
    yield GaugeMetricFamily("portal_workers_degraded", "Workers that cannot serve the active version.", troubled)


def describe_cases() -> Iterator[Metric]:
    """Every case by its state."""
    states = dict(Case.objects.order_by().values_list("state").annotate(Count("pk")))
    cases = GaugeMetricFamily("portal_cases", "Cases by state.", labels=["state"])
    for state in Case.State.values:
        cases.add_metric([state], states.get(state, 0))
    yield cases


def describe_model() -> Iterator[Metric]:
    """The version in service, and how far its latest scores lie from those of its validation."""
    version = api.active_version()
    info = GaugeMetricFamily("portal_model_info", "1 for the version in service.", labels=["version"])
    info.add_metric([version], 1)
    yield info
    recent = Prediction.objects.filter(is_shadow=False, model_version=version, created_at__gte=timezone.now() - SCORES_WITHIN)
    scores = list(recent.order_by("-created_at").values_list("probability", flat=True)[:SCORES_MOST])
    films = GaugeMetricFamily("portal_score_psi_films", "Latest films that the PSI is of.", labels=["version"])
    films.add_metric([version], len(scores))
    yield films
    reference = reference_counts(version)
    if len(scores) >= MIN_FILMS and any(reference):
        psi = GaugeMetricFamily("portal_score_psi", "Population stability index against validation.", labels=["version"])
        psi.add_metric([version], stability_index(reference, count_by_bin(scores)))
        yield psi


def describe_agreement() -> Iterator[Metric]:
    """Of each case that was signed lately: what the version in service said, and what the clinician did.

    Agreement, sensitivity and predictive value are quotients of these: recording rules form them.
    """
    version = api.active_version()
    signed = Review.objects.latest_signed().filter(
        signed_at__gte=timezone.now() - SIGNED_WITHIN, prediction__model_version=version, prediction__is_shadow=False
    )
    rows = list(signed.order_by("-signed_at").values_list("verdict", "prediction__label", "finding")[:SIGNED_MOST])
    verdicts = GaugeMetricFamily(
        "portal_signed_verdicts", "Latest signed verdicts on the version's results.", labels=["version", "verdict"]
    )
    for verdict in Review.Verdict.values:
        verdicts.add_metric([version, verdict], sum(row[0] == verdict for row in rows))
    yield verdicts
    cases = GaugeMetricFamily(
        "portal_signed_cases", "The same cases by label and finding.", labels=["version", "label", "finding"]
    )
    for label in Prediction.Label.values:
        for finding in Review.Finding.values:
            cases.add_metric([version, label, finding], sum(row[1:] == (label, finding) for row in rows))
    yield cases
