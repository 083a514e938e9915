"""Analyse a case again, with the version that is active now. What earlier versions and clinicians said of it stays."""

import logging

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from accounts.audit import Action
from accounts.models import User
from diagnostics import queue
from diagnostics.models import Case, Prediction
from diagnostics.querysets import unless_drawn
from diagnostics.services.trail import record_case
from mlmodel import api

logger = logging.getLogger(__name__)


def reanalyse_case(*, case: Case, user: User) -> bool:
    """Put a final case back into the queue for the active version.

    False where the case is not final, has lost its film, or is done and holds a reading of the active version already.
    Refused and failed cases qualify otherwise: the gate of a new version differs. Earlier predictions and reviews stay; if the
    new analysis ends in a refusal, they are still the case's history. The caller checks that the user may.
    """
    return bool(reanalyse_cases(cases=Case.objects.filter(pk=case.pk), user=user))


def reanalyse_cases(*, cases: QuerySet[Case], user: User) -> int:
    """The same for each of these cases that qualifies; returns how many. Each is one conditional UPDATE.

    None while no version is in service: a film would lose the result that it has, and wait.
    """
    try:
        version = api.active_version()
    except api.NoVersionInServiceError:
        return 0
    qualifying = Case.objects.filter(_may_be_read_again(version))
    # Listed first, each changed for itself: a worker waits for one row, never for thousands.
    found = list(cases.order_by().select_related(None).only("pk", "hospital", "patient"))
    changed = 0
    for case in found:
        with transaction.atomic():
            if qualifying.filter(pk=case.pk).update(**_fresh_start()):
                queue.wake_worker(case.pk)
                record_case(Action.REQUEUED, case=case, actor=user, details={"version": version})
                changed += 1
    if changed:
        logger.info("user %s had %s case(s) queued again for version %s", user.pk, changed, version)
    return changed


def can_be_reanalysed(*, case: Case) -> bool:
    """Whether `reanalyse_case` would put the case into the queue: for the page that offers it."""
    return Case.objects.filter(_may_be_read_again(api.active_version()), pk=case.pk).exists()


def _may_be_read_again(version: str) -> Q:
    read_already = Prediction.objects.filter(case=OuterRef("pk"), model_version=version, is_shadow=False)
    return Q(purged_at=None) & (Q(state__in=["refused", "failed"]) | Q(~Exists(read_already), state="done"))


def _fresh_start() -> dict[str, object]:
    """The columns of a case that was never claimed; a picture for the browser that is drawn stays."""
    return {
        "state": Case.State.QUEUED,
        "attempt": 0,
        "worker": "",
        "refusal_code": "",
        "failure_code": "",
        "display": unless_drawn(Case.Display.PENDING),
        "display_attempt": 0,
        "queued_at": Now(),
        "started_at": None,
        "finished_at": None,
        "first_viewed_at": None,
    }
