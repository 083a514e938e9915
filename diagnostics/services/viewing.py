"""Who opened a result first: what is unread is told by this."""

from django.db.models.functions import Now

from accounts.models import User
from diagnostics.models import Case


def mark_viewed(*, case: Case, viewer: User) -> None:
    """The first opening of a final result by a clinician of the hospital; later ones change nothing."""
    if case.is_final and case.first_viewed_at is None and viewer.hospital_id == case.hospital_id:
        Case.objects.filter(pk=case.pk, first_viewed_at=None).update(first_viewed_at=Now())
