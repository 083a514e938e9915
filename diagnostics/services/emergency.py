"""Break-glass: a clinician reads one case of another hospital for a while, with a reason; both hospitals hear of it."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import QuerySet
from django.template.loader import render_to_string
from django.utils import timezone

from accounts import audit
from accounts.mailing import send_in_background
from accounts.models import AuditEvent, Role, User
from accounts.permissions import may_open_in_emergency
from diagnostics.exceptions import NoSuchCaseError, TooManyTriesError
from diagnostics.models import Case, EmergencyAccess
from diagnostics.services.trail import record_case

MOST_FAILURES, FAILURE_MINUTES = 5, 15


def open_emergency_access(*, user: User, case_id: UUID | None, reason: str) -> EmergencyAccess:
    """Let the user read that case until `BREAK_GLASS_MINUTES` from now.

    Raises `NoSuchCaseError` where no other hospital has such a case, and `TooManyTriesError` after some of those: every try is
    in the audit log, so the log counts them.
    """
    if _failures(user) >= MOST_FAILURES:
        raise TooManyTriesError(f"user {user.pk}")
    case = Case.objects.filter(pk=case_id).exclude(hospital=user.hospital_id).first() if case_id else None
    if case is None:
        audit.record(
            audit.Action.ACCESS_OPENED,
            actor=user,
            object_type="case",
            object_id=case_id or "",
            outcome=audit.Outcome.FAILED,
        )
        raise NoSuchCaseError(f"case {case_id}")
    return _open(user, case, reason)


@transaction.atomic
def _open(user: User, case: Case, reason: str) -> EmergencyAccess:
    user = User.objects.select_for_update(no_key=True).get(pk=user.pk)  # its role and hospital are changed before this or after
    if not may_open_in_emergency(user):
        raise NoSuchCaseError(f"case {case.pk}")
    now = timezone.now()
    access = EmergencyAccess.objects.create(
        user=user,
        user_hospital_id=user.hospital_id,
        user_role=user.role,
        case=case,
        reason=reason,
        opened_at=now,
        expires_at=now + timedelta(minutes=settings.BREAK_GLASS_MINUTES),
    )
    transaction.on_commit(lambda: _alert(access), robust=True)
    details = {"access": str(access.pk), "minutes": settings.BREAK_GLASS_MINUTES}
    record_case(audit.Action.ACCESS_OPENED, case=case, actor=user, details=details)
    return access


def end_with_standing(*, users: Sequence[User], by: User | None) -> None:
    """What `STANDING_LISTENER` names: these users have got another role or hospital, or were deactivated."""
    end_emergency_accesses(accesses=EmergencyAccess.objects.filter(user__in=users), ended_by=by)


def end_emergency_accesses(*, accesses: QuerySet[EmergencyAccess], ended_by: User | None) -> int:
    """End those that run; returns how many. Each is one entry of the audit log, in its case's hospital."""
    with transaction.atomic():
        live = list(
            accesses.filter(ended_at=None, expires_at__gt=timezone.now()).select_related("case").select_for_update(of=("self",))
        )
        EmergencyAccess.objects.filter(pk__in=[access.pk for access in live]).update(ended_at=timezone.now())
        for access in live:
            audit.record(
                audit.Action.ACCESS_CHANGED,
                actor=ended_by,
                object_type="emergency_access",
                object_id=access.pk,
                hospital=access.case.hospital_id,
                patient=access.case.patient_id,
                details={"ended": True},
            )
    return len(live)


def live_access(*, user: User, case: Case) -> EmergencyAccess | None:
    """By which the user reads this case of another hospital; the one that lasts longest."""
    return EmergencyAccess.objects.live().filter(user=user, case=case).order_by("-expires_at").first()


def _failures(user: User) -> int:
    since = timezone.now() - timedelta(minutes=FAILURE_MINUTES)
    tries = AuditEvent.objects.filter(actor=user, action=audit.Action.ACCESS_OPENED, at__gte=since)
    return tries.filter(outcome=audit.Outcome.FAILED).count()


def _alert(access: EmergencyAccess) -> None:
    """A mail to each admin of both hospitals, without a word about the patient."""
    hospitals = [access.case.hospital_id, access.user_hospital_id]
    admins = User.objects.filter(role=Role.ADMIN, is_active=True, hospital__in=hospitals)
    context = {"access": access, "user": access.user, "hospital": access.case.hospital}
    subject = settings.ACCOUNT_EMAIL_SUBJECT_PREFIX + "Emergency access was opened"
    body = render_to_string("diagnostics/email/emergency_access.txt", context).strip()
    send_in_background([EmailMessage(subject, body, to=[admin.email]) for admin in admins], what="emergency access")
