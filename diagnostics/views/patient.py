"""A patient's page: all films, newest first."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.audit import Action
from accounts.models import User
from accounts.permissions import requires, sees_cases
from diagnostics.models import Case, Patient
from diagnostics.services.trail import record_patient
from diagnostics.views.fetch import get_visible_or_404
from diagnostics.views.pagination import read_page
from diagnostics.views.studies import group_by_study
from diagnostics.views.worklist import CURSOR


@require_safe
@requires(sees_cases)
def patient(request: HttpRequest, pk: UUID) -> HttpResponse:
    assert isinstance(request.user, User)  # noqa: S101 - `requires` has asked
    person: Patient = get_visible_or_404(request, Patient.objects.visible_to(request.user), pk)
    record_patient(Action.PATIENT_VIEWED, patient=person, actor=request.user)
    films = Case.objects.visible_to(request.user).filter(patient=person)
    page = read_page(films.with_result(), request.GET.get(CURSOR, ""))
    context = {
        "patient": person,
        "films": films.count(),
        "page": page,
        "groups": group_by_study(page.cases),
        "waits": any(not case.is_final for case in page.cases),
    }
    return render(request, "diagnostics/patient.html", context)
