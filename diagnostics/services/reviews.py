"""A clinician's verdict. Nothing is overwritten: a later review supersedes an earlier one."""

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.audit import Action
from accounts.models import User
from diagnostics.exceptions import TransitionError
from diagnostics.models import Case, Review, UnsavedReview
from diagnostics.services.trail import record_case


@transaction.atomic
def record_review(
    *, case: Case, reviewer: User, finding: str, verdict: str = "", note: str = "", judged: UUID | None = None, sign: bool
) -> Review:
    """Write the verdict on the case's result (a refused film has none and takes a finding alone).

    `judged` is the prediction that the reviewer had on the screen. Raises `TransitionError` while the case has no final state
    or once its film is removed, for a verdict on a prediction that is not there, and where another result has come meanwhile.
    """
    if not case.is_final or case.purged_at:
        raise TransitionError(f"case {case.pk} is {case.state}, or its film is removed")
    prediction = case.result
    if judged and (prediction is None or prediction.pk != judged):
        raise TransitionError(f"case {case.pk}: prediction {judged} is not the one that is shown")
    if bool(verdict) != (prediction is not None):
        raise TransitionError(f"case {case.pk}: verdict {verdict!r} does not fit prediction {prediction}")
    UnsavedReview.objects.filter(case=case, author=reviewer).delete()
    review = Review.objects.create(
        case=case,
        prediction=prediction,
        reviewer=reviewer,
        verdict=verdict,
        finding=finding,
        note=note,
        signed_at=timezone.now() if sign else None,
    )
    record_case(Action.SIGNED if sign else Action.REVIEWED, case=case, actor=reviewer, details={"review": str(review.pk)})
    return review
