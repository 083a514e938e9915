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


@dataclass(frozen=True, slots=True)
class Suspension:
    """The stop rule took `version` out of service; `reason` names the rules, in closed words.

    `until` is when a version was in service again, `reinstated_at` when this one was; None while that has not been.
    """

    version: str
    since: datetime
    reason: str
    until: datetime | None = None
    reinstated_at: datetime | None = None


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
    """When which version was active, the latest first; a suspension ends a period and begins none."""

    def read() -> list[ServicePeriod]:
        from django.db.models import Q

        from mlmodel.models import VersionEvent

        events = VersionEvent.objects.filter(Q(to_state="active") | Q(kind="suspended")).order_by("pk")
        periods: list[ServicePeriod] = []
        for version, at, person, kind in events.values_list("version", "at", "requested_by", "kind"):
            open_one = periods[-1] if periods and not periods[-1].until else None
            if open_one and open_one.version == version and kind != "suspended":
                continue
            if open_one:
                periods[-1] = replace(open_one, until=at)
            if kind == "suspended":
                continue
            # The shipped version is entered when the first one is activated by hand; it had read films before
            periods.append(ServicePeriod(version, at if periods or person else None, None))
        return periods[::-1]

    return _from_registry(read)


def suspensions() -> list[Suspension]:
    """Every time that the stop rule took a version out of service, the latest first."""

    def read() -> list[Suspension]:
        from django.db.models import Q

        from mlmodel.models import VersionEvent

        events = VersionEvent.objects.filter(Q(to_state="active") | Q(kind="suspended")).order_by("pk")
        found: list[Suspension] = []
        for version, at, kind, reason in events.values_list("version", "at", "kind", "reason"):
            if kind == "suspended":
                found.append(Suspension(version, at, reason))
            else:
                found = [_ended(one, by=version, at=at) for one in found]
        return found[::-1]

    return _from_registry(read)


def _ended(one: Suspension, *, by: str, at: datetime) -> Suspension:
    """What the activation of a version changes in an earlier suspension."""
    reinstated_at = one.reinstated_at or (at if by == one.version else None)
    return replace(one, until=one.until or at, reinstated_at=reinstated_at)


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
