"""A radiologist's decision to have a refused film read all the same."""

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from accounts.audit import Action
from accounts.models import User
from diagnostics import queue
from diagnostics.exceptions import TransitionError
from diagnostics.models import Case, GateOverride
from diagnostics.services.trail import record_case
from mlmodel import api


def override_refusal(*, case: Case, radiologist: User, reason: str) -> GateOverride:
    """Set the case's refusal aside, once, and queue the film again; the worker skips that check alone.

    Raises `TransitionError` where the case is not refused with that code any more, where the code allows no override, or where
    it was set aside before.
    """
    code = case.refusal_code
    if code not in api.OVERRIDABLE:
        raise TransitionError(f"case {case.pk}: {code or case.state} cannot be set aside")
    try:
        with transaction.atomic():
            override = GateOverride.objects.create(case=case, code=code, reason=reason, decided_by=radiologist)
            _queue_again(case, code)
            record_case(Action.OVERRIDDEN, case=case, actor=radiologist, details={"code": code})
    except IntegrityError as error:
        raise TransitionError(f"case {case.pk}: {code} was set aside before") from error
    return override


def may_be_overridden(*, case: Case) -> bool:
    """Whether the refusal that the case ended in can be set aside by a radiologist."""
    if case.purged_at or case.state != Case.State.REFUSED or case.refusal_code not in api.OVERRIDABLE:
        return False
    return all(override.code != case.refusal_code for override in case.overrides.all())


def _queue_again(case: Case, code: str) -> None:
    """The picture for the browser stays: the radiologist looks at it meanwhile."""
    changed = (
        Case.objects.with_film()
        .filter(pk=case.pk, state=Case.State.REFUSED, refusal_code=code)
        .update(
            state=Case.State.QUEUED,
            attempt=0,
            worker="",
            refusal_code="",
            queued_at=Now(),
            started_at=None,
            finished_at=None,
            first_viewed_at=None,
        )
    )
    if not changed:
        raise TransitionError(f"case {case.pk} is not refused with {code} any more")
    queue.wake_worker(case.pk)
