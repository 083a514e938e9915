"""What somebody was typing when the session neared its end.

Kept on the server and not in the browser: the next one at a ward's computer reads nothing of it.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from accounts.models import User
from diagnostics.models import Case, UnsavedReview

KEPT_FOR = timedelta(days=7)


def keep_unsaved_review(*, case: Case, author: User, judged: UUID | None, verdict: str, finding: str, note: str) -> None:
    """One per author and case, the latest, and none where nothing is typed."""
    if not (verdict or finding or note):
        UnsavedReview.objects.filter(author=author, case=case).delete()
        return
    typed: dict[str, Any] = {"judged": judged, "verdict": verdict, "finding": finding, "note": note, "saved_at": timezone.now()}
    UnsavedReview.objects.update_or_create(case=case, author=author, defaults=typed)


def find_unsaved_review(*, case: Case, author: User) -> UnsavedReview | None:
    fresh = UnsavedReview.objects.filter(saved_at__gte=timezone.now() - KEPT_FOR)
    return fresh.filter(case=case, author=author).first()


def forget_unsaved_reviews() -> None:
    """What is older than a week goes, whoever's it is: it may tell of a patient, and its author may never come back."""
    UnsavedReview.objects.filter(saved_at__lt=timezone.now() - KEPT_FOR).delete()
