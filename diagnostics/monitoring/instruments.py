"""Counters and histograms of the process that they are counted in. Labels are from closed sets; no patient, no user, no case.

Web processes add theirs up in files (`pneumo_site.process_metrics`); a worker and `reconcile` answer on a port of their own.
What can be read from the rows is not counted here: `collector` reads it, whichever process is asked.
"""

import logging

from django.conf import settings
from prometheus_client import Counter, Gauge, Histogram, start_http_server

from diagnostics.codes import FAILURES as CODES
from diagnostics.monitoring.drift import EDGES

MINUTE, HOUR = 60, 3600

logger = logging.getLogger(__name__)

RESULT_SECONDS = Histogram(
    "portal_result_seconds",
    "From the upload of a film, or the order to analyse it again, to its stored result or refusal.",
    buckets=(0.5, 1, 2, 5, 10, 20, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR),
)
FIRST_VIEW_SECONDS = Histogram(
    "portal_first_view_seconds",
    "From a film's result to the moment when a clinician first opened it.",
    buckets=(10, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR, 12 * HOUR, 24 * HOUR, 72 * HOUR),
)
BATCH_FILMS = Histogram("portal_batch_films", "Films in one forward pass.", buckets=(1, 2, 4, 8, 16, 32, 64))
STAGE_SECONDS = Histogram(
    "portal_stage_seconds",
    "Time spent on one film: decode, infer (its share of the batch), heatmap.",
    ["stage"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
PREDICTIONS = Counter("portal_predictions", "Results that are shown, by model version and label.", ["version", "label"])
SCORE = Histogram("portal_score", "Probabilities of the results that are shown.", ["version"], buckets=EDGES)
REFUSALS = Counter("portal_refusals", "Films turned away: at the upload, or when they were read.", ["at", "code"])
FAILURES = Counter("portal_failures", "Analyses that ended without a result.", ["code"])
WAKEUPS_LOST = Counter("portal_wakeups_lost", "Calls for a worker that Redis could not be told.")
WAKEUPS_REPAIRED = Counter("portal_wakeups_repaired", "Calls repeated for cases that waited too long.")
LEASES_EXPIRED = Counter("portal_leases_expired", "Claims of workers that were gone, and what became of them.", ["outcome"])
STORAGE_ERRORS = Counter("portal_storage_errors", "Times that the storage of films did not answer.", ["operation"])
RECONCILED = Gauge("portal_reconciled_timestamp_seconds", "When the last pass of reconcile ended.", multiprocess_mode="max")

OPERATIONS = ("saving", "reading", "looking for", "listing", "aborting", "removing")
for _operation in OPERATIONS:  # told as 0 from the start: what appears with its first event has no rise to alert on
    STORAGE_ERRORS.labels(_operation)
for _code in CODES:
    FAILURES.labels(_code)
for _outcome in ("requeued", "failed"):
    LEASES_EXPIRED.labels(_outcome)


def observe_finding(*, version: str, label: str, probability: float, stages: dict[str, float]) -> None:
    """One new result; `stages` are milliseconds by name."""
    PREDICTIONS.labels(version, label).inc()
    SCORE.labels(version).observe(probability)
    for stage, milliseconds in stages.items():
        STAGE_SECONDS.labels(stage).observe(milliseconds / 1000)


def start_exporter(port: int) -> None:
    """Answer scrapes in a thread of this process; 0 is no port. One that is taken costs the figures, not the work."""
    if not port:
        return
    try:
        start_http_server(port, addr=settings.METRICS_ADDRESS)
    except OSError as error:
        logger.error("no metrics on %s port %s: %s", settings.METRICS_ADDRESS, port, error.strerror)  # noqa: TRY400
