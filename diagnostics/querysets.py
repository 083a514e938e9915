"""Predicates: which rows. Verbs are in services."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import F, Q, Value, When
from django.db.models.functions import Now

from accounts.models import User
from accounts.permissions import may_open_in_emergency, may_read_audit, sees_cases

if TYPE_CHECKING:
    from diagnostics.models import Case, EmergencyAccess, Patient, Review, Worker  # noqa: F401 - named in quotes


DISPLAY_LEASES = 2  # times a worker's lease: nobody renews it, and a busy machine's decoding children take their time to start


def unless_drawn(display: str) -> models.Case:
    """For an UPDATE of cases: that display, unless the picture is there, which is no version's and stays."""
    drawn = When(display="ready", then=Value("ready"))
    return models.Case(drawn, default=Value(str(display)))


def display_lease() -> timedelta:
    """For how long a film is one worker's to draw."""
    return timedelta(seconds=DISPLAY_LEASES * settings.WORKER_LEASE_SECONDS)


class PatientQuerySet(models.QuerySet["Patient"]):
    def visible_to(self, user: User | AnonymousUser) -> "PatientQuerySet":
        """Patients of the user's hospital, for the clinical roles."""
        return self.filter(hospital=user.hospital) if isinstance(user, User) and sees_cases(user) else self.none()

    def audited_by(self, user: User) -> "PatientQuerySet":
        """Patients whose part of the audit log the user may read: those of the own hospital; a superuser reads all."""
        rows = self.all() if may_read_audit(user) else self.none()
        return rows if user.is_superuser else rows.filter(hospital=user.hospital)


class CaseQuerySet(models.QuerySet["Case"]):
    def visible_to(self, user: User | AnonymousUser) -> "CaseQuerySet":
        """Cases of the user's hospital, for the clinical roles."""
        return self.filter(hospital=user.hospital) if isinstance(user, User) and sees_cases(user) else self.none()

    def readable_by(self, user: User | AnonymousUser) -> "CaseQuerySet":
        """The same and, to look at and not to act on, single cases of other hospitals opened in an emergency."""
        if not isinstance(user, User) or not may_open_in_emergency(user):
            return self.visible_to(user)
        opened = apps.get_model("diagnostics", "EmergencyAccess").objects.live().filter(user=user.pk)
        return self.filter(Q(hospital=user.hospital_id) | Q(pk__in=opened.values("case")))

    def sent_by(self, uploader: User, *, since: datetime) -> "CaseQuerySet":
        """What one user has uploaded since then."""
        return self.filter(uploader=uploader, created_at__gt=since)

    def queued(self) -> "CaseQuerySet":
        """Waiting for a worker, the longest waiting first."""
        return self.filter(state="queued").order_by("queued_at", "pk")

    def ahead_of(self, case: "Case") -> "CaseQuerySet":
        """Waiting cases that will be claimed before this one."""
        earlier = Q(queued_at__lt=case.queued_at) | Q(queued_at=case.queued_at, pk__lt=case.pk)
        return self.filter(earlier, state="queued")

    def overdue(self, *, seconds: int) -> "CaseQuerySet":
        """Queued for longer than a wake-up call should take."""
        return self.queued().filter(queued_at__lt=Now() - timedelta(seconds=seconds))

    def lease_over(self) -> "CaseQuerySet":
        """Claimed by a worker that has not renewed its lease: killed, stalled or cut off.

        One that ends later than any lease can was given before the database's clock was set back, and would last as long.
        """
        longest = timedelta(seconds=2 * settings.WORKER_LEASE_SECONDS)
        return self.filter(Q(lease_until__lt=Now()) | Q(lease_until__gt=Now() + longest), state="processing")

    def final(self) -> "CaseQuerySet":
        return self.filter(state__in=["done", "refused", "failed"])

    def with_film(self) -> "CaseQuerySet":
        """Whose bytes are kept still."""
        return self.filter(purged_at=None)

    def kept_longer_than(self, *, days: int) -> "CaseQuerySet":
        """Films whose retention time is over; never one that waits for its analysis."""
        return self.with_film().final().filter(created_at__lt=Now() - timedelta(days=days))

    def purge_begun(self) -> "CaseQuerySet":
        """Marked as removed, while some of the bytes may still be there."""
        return self.filter(purged_at__isnull=False, original_key__gt="")

    def without_display(self) -> "CaseQuerySet":
        """Analysed films whose picture for the browser is still to be drawn, newest first: somebody looks at those."""
        return self._to_draw().filter(state__in=["done", "refused"]).order_by("-finished_at")

    def waiting_without_display(self) -> "CaseQuerySet":
        """The same of films that wait for their analysis."""
        return self._to_draw().filter(state="queued").order_by("-queued_at", "-pk")

    def _to_draw(self) -> "CaseQuerySet":
        """Without a picture, and drawn by no worker now; as in `lease_over`, no clock that is set back holds one up."""
        longest = 2 * display_lease()
        free = Q(display_lease_until=None) | Q(display_lease_until__lt=Now()) | Q(display_lease_until__gt=Now() + longest)
        return self.filter(free, display="pending")

    def opened(self) -> "CaseQuerySet":
        """Results that a clinician has opened."""
        return self.filter(first_viewed_at__isnull=False)

    def unread(self) -> "CaseQuerySet":
        """Results that no clinician has opened yet."""
        return self.final().filter(first_viewed_at__isnull=True)

    def newest_first(self) -> "CaseQuerySet":
        return self.order_by("-created_at", "-pk")

    def after(self, *, created_at: Any, pk: Any) -> "CaseQuerySet":
        """The next page in `newest_first` order, below the row with that key."""
        return self.filter(Q(created_at__lt=created_at) | Q(created_at=created_at, pk__lt=pk))

    def with_result(self) -> "CaseQuerySet":
        """All that a list row or a case page shows, in a constant number of queries."""
        return self.select_related("patient", "uploader", "hospital").prefetch_related("predictions", "reviews__reviewer")

    def matching(self, text: str) -> "CaseQuerySet":
        """Search by patient's name or record number, accession number or file name."""
        return self.filter(
            Q(patient__name__icontains=text)
            | Q(patient__record_number__icontains=text)
            | Q(accession_number__icontains=text)
            | Q(file_name__icontains=text)
        )

    def same_film(self, case: "Case") -> "CaseQuerySet":
        """Other, earlier cases of the hospital with the same file, the same pixels or the same DICOM instance."""
        same = Q(sha256=case.sha256)
        if case.pixel_sha256:
            same |= Q(pixel_sha256=case.pixel_sha256)
        if case.sop_instance_uid:
            same |= Q(sop_instance_uid=case.sop_instance_uid)
        return self.filter(same, hospital=case.hospital_id, created_at__lte=case.created_at).exclude(pk=case.pk)


class EmergencyAccessQuerySet(models.QuerySet["EmergencyAccess"]):
    def live(self) -> "EmergencyAccessQuerySet":
        """Neither over nor ended, and its user still stands where it was opened from, by whatever way that was changed."""
        standing = Q(user__hospital=F("user_hospital"), user__role=F("user_role")) | Q(user_hospital=None)
        return self.filter(standing, user__is_active=True, expires_at__gt=Now(), ended_at__isnull=True)


class ReviewQuerySet(models.QuerySet["Review"]):
    def latest_signed(self) -> "ReviewQuerySet":
        """Of each case the latest signed verdict, on whichever result."""
        signed = ReviewQuerySet(self.model).filter(case=models.OuterRef("case"), signed_at__isnull=False)
        return self.filter(pk=models.Subquery(signed.order_by("-created_at").values("pk")[:1]))

    def trainable(self) -> "ReviewQuerySet":
        """Verdicts in force that say what a network can learn, pneumonia or none, on films that are still there."""
        return self.latest_signed().filter(finding__in=["PNEUMONIA", "NO_PNEUMONIA"], case__purged_at=None)


class WorkerQuerySet(models.QuerySet["Worker"]):
    def alive(self, *, seconds: int) -> "WorkerQuerySet":
        """Workers whose heart has beaten within that time, by the database's clock, which may have been set back since."""
        near = timedelta(seconds=seconds)
        return self.filter(beat_at__gte=Now() - near, beat_at__lte=Now() + near, stopped_at__isnull=True)
