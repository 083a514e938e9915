"""What readers are told of the model's versions: which reads films now, since when, and that its scores are its own."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from diagnostics.models import Case
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
    if len(periods) < 2 or periods[0].since is None:
        return None
    newest, since = periods[0].version, periods[0].since
    return VersionChange(newest, since) if since >= timezone.now() - timedelta(days=NOTICE_DAYS) else None


def in_service() -> str:
    """The version that reads films now; empty where it cannot be told."""
    try:
        return api.active_version()
    except api.ModelError:
        return ""


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
