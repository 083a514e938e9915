"""Which versions there were, when each was in service, and how they were judged: the registry, read for people.

A database that is missing or was never migrated has no history; that is a fresh machine, not a fault.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EvaluationRun:
    """One `evaluate_model` on one set of films: how many films and patients, the JSON report, where it lies, and when."""

    data_sha256: str
    films: int
    patients: int
    report: dict[str, Any]
    directory: Path
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """A row of the registry; `state` is candidate, shadow, active or retired."""

    version: str
    state: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ServicePeriod:
    """From when to when a version read films. `since` is None where that is not known, as of the version that the software came
    with; `until` is None while it reads them."""

    version: str
    since: datetime | None
    until: datetime | None


def registered_evaluations(version: str) -> list[EvaluationRun]:
    """The evaluations of a version that this installation keeps, newest first."""

    def read() -> list[EvaluationRun]:
        from mlmodel.models import Evaluation

        return [
            EvaluationRun(row.data_sha256, row.n, row.patients, dict(row.metrics), Path(row.directory), row.created_at)
            for row in Evaluation.objects.filter(version=version).order_by("-created_at")
        ]

    return _from_registry(read)


def registered_versions() -> list[RegisteredVersion]:
    """Every version of the registry, newest first."""

    def read() -> list[RegisteredVersion]:
        from mlmodel.models import ModelVersion

        rows = ModelVersion.objects.order_by("-created_at")
        return [RegisteredVersion(row.version, row.state, row.created_at) for row in rows]

    return _from_registry(read)


def service_periods() -> list[ServicePeriod]:
    """When which version was active, the latest first."""

    def read() -> list[ServicePeriod]:
        from mlmodel.models import VersionEvent

        events = VersionEvent.objects.filter(to_state="active").order_by("pk")
        periods: list[ServicePeriod] = []
        for version, at, person in events.values_list("version", "at", "requested_by"):
            if periods and periods[-1].version == version:
                continue
            if periods:
                periods[-1] = replace(periods[-1], until=at)
            # The shipped version is entered when the first one is activated by hand; it had read films before
            periods.append(ServicePeriod(version, at if periods or person else None, None))
        return periods[::-1]

    return _from_registry(read)


def _from_registry(read: Callable[[], list[T]]) -> list[T]:
    from django.apps import apps
    from django.core.exceptions import ImproperlyConfigured
    from django.db import DatabaseError

    if not apps.ready:
        return []
    try:
        return read()
    except (DatabaseError, ImproperlyConfigured):
        return []
