"""What readers are told of the model's versions: which reads films now, since when, that its scores are its own, and when none
does."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from diagnostics.models import Case, Prediction
from diagnostics.services.reanalysis import can_be_reanalysed
from mlmodel import api

NOTICE_DAYS = 14


@dataclass(frozen=True, slots=True)
class VersionChange:
    """The version that reads films since a short while ago, in place of an earlier one."""

    version: str
    since: datetime


def recent_change() -> VersionChange | None:
    """The latest change of version, for `NOTICE_DAYS` after it; None where no earlier version read films here."""
    periods = api.service_periods()
    if len(periods) < 2 or periods[0].since is None or periods[0].until or periods[0].version == periods[1].version:
        return None
    newest, since = periods[0].version, periods[0].since
    return VersionChange(newest, since) if since >= timezone.now() - timedelta(days=NOTICE_DAYS) else None


def in_service() -> str:
    """The version that reads films now; empty where it cannot be told."""
    try:
        return api.active_version()
    except api.ModelError:
        return ""


def suspended_since() -> datetime | None:
    """Since when no version is in service, by the stop rule; None while one is, or where it cannot be told."""
    try:
        return api.versions_in_service().since
    except api.ModelError:
        return None


def last_resumed() -> datetime:
    """When a version was last put back after a suspension: no film waits for a worker from before that. The beginning of time
    where there was none."""
    resumed = [one.until for one in api.suspensions()[:1] if one.until]
    return max(resumed, default=datetime.min.replace(tzinfo=UTC))


def waits_since(queued_at: datetime) -> datetime:
    """From when a film waits for a worker: while service was suspended it waited for a version."""
    return max(queued_at, last_resumed())


def withdrawal_of(prediction: Prediction) -> datetime | None:
    """When the stop rule took the version that made this result out of service; None where it did not, or where the result was
    made after the version had been put back."""
    for one in reversed(api.suspensions()):
        made_before = one.reinstated_at is None or prediction.created_at < one.reinstated_at
        if one.version == prediction.model_version and made_before:
            return one.since
    return None


def may_analyse_again(*, case: Case) -> bool:
    """Whether another analysis could say something new: the version in service has not read the film, or it failed.

    A refusal by the version in service would be the same again, so it is offered once another version is.
    """
    try:
        if not case.is_final or not can_be_reanalysed(case=case):
            return False
    except api.ModelError:
        return False
    if case.state != Case.State.REFUSED:
        return case.failure_code != "FILM_DAMAGED"
    since = next((period.since for period in api.service_periods()), None)
    return bool(since and case.finished_at and since > case.finished_at)
