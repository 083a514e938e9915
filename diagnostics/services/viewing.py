"""Who opened a case: what is unread is told by the first opening, and every one is audited."""

from django.db import transaction
from django.db.models.functions import Now

from accounts.audit import Action
from accounts.models import User
from diagnostics.models import Case
from diagnostics.services.trail import record_case


@transaction.atomic
def view_case(*, case: Case, viewer: User, through: str = "page") -> None:
    """Note that the case is shown to this user, before it is. The first opening of a final result by a clinician of the
    hospital is kept with the case."""
    if case.is_final and case.first_viewed_at is None and viewer.hospital_id == case.hospital_id:
        Case.objects.filter(pk=case.pk, first_viewed_at=None).update(first_viewed_at=Now())
    record_case(Action.CASE_VIEWED, case=case, actor=viewer, details={"through": through, "state": case.state})
