"""Entries of the audit log about cases, patients and lists: the one place that says how such an entry looks."""

from accounts import audit
from accounts.audit import Action, Details, Outcome
from accounts.models import User
from diagnostics.models import Case, Patient


def record_case(
    action: Action, *, case: Case, actor: User | None, outcome: Outcome = Outcome.SUCCESS, details: Details | None = None
) -> None:
    """Call it last in the transaction of what it tells of, or before anything of the case is answered."""
    audit.record(
        action,
        actor=actor,
        object_type="case",
        object_id=case.pk,
        hospital=case.hospital_id,
        patient=case.patient_id,
        outcome=outcome,
        details=details,
    )


def record_patient(action: Action, *, patient: Patient, actor: User | None, details: Details | None = None) -> None:
    """The same for a patient."""
    audit.record(
        action,
        actor=actor,
        object_type="patient",
        object_id=patient.pk,
        hospital=patient.hospital_id,
        patient=patient.pk,
        details=details,
    )


def record_list(*, actor: User, shown: int, searched: bool) -> None:
    """A list that names patients: how many rows were shown, not what was searched for."""
    audit.record(Action.LIST_VIEWED, actor=actor, details={"list": "cases", "shown": shown, "searched": searched})
