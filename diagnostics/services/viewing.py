"""Who opened a case: what is unread is told by the first opening, and every one is audited."""

from functools import partial

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from accounts.audit import Action
from accounts.models import AuditEvent, User
from accounts.request_context import current
from diagnostics.models import Case
from diagnostics.monitoring.instruments import FIRST_VIEW_SECONDS
from diagnostics.services.trail import record_case


@transaction.atomic
def view_case(*, case: Case, viewer: User, through: str = "page") -> None:
    """Note that the case is shown to this user, before it is. The first opening of a final result by a clinician of the
    hospital is kept with the case."""
    if case.is_final and case.first_viewed_at is None and viewer.hospital_id == case.hospital_id:
        _note_first_view(case)
    record_case(Action.CASE_VIEWED, case=case, actor=viewer, details={"through": through, "state": case.state})


def note_read_by_program(*, case: Case, reader: User) -> None:
    """Note that the case is answered to a program of this user, before it is.

    A program asks again and again. What it learns nothing new by, while the film waits in the same state, is no further view:
    the log itself says what was answered to this user at this address since the film was queued.
    """
    details = {"through": "api", "state": case.state}
    if not case.is_final:
        told = AuditEvent.objects.filter(object_id=str(case.pk), actor=reader, action=Action.CASE_VIEWED, details=details)
        if told.filter(at__gte=case.queued_at, address=current().address).exists():
            return
    record_case(Action.CASE_VIEWED, case=case, actor=reader, details=details)


def _note_first_view(case: Case) -> None:
    """Of several at the same moment one is the first, and counted."""
    is_first = Case.objects.filter(pk=case.pk, first_viewed_at=None).update(first_viewed_at=Now())
    if is_first and case.finished_at:
        waited = max(0.0, (timezone.now() - case.finished_at).total_seconds())
        transaction.on_commit(partial(FIRST_VIEW_SECONDS.observe, waited))
