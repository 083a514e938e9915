"""How old the patient was when the film was taken."""

from django.utils.dateparse import parse_date

from diagnostics.models import Case
from mlmodel import api


def age_at_study(case: Case, study_date: str) -> float | None:
    """Years, on the day that the film itself tells (ISO 8601), or else on the day of the upload; None without a birth date."""
    if case.patient is None or case.patient.birth_date is None:
        return None
    birth, uploaded = case.patient.birth_date, case.created_at.date()
    taken = parse_date(study_date)
    return api.age_in_years(birth, on=taken if taken and birth <= taken <= uploaded else uploaded)
