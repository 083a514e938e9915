"""A patient's page: all films, newest first."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from accounts.permissions import requires, sees_cases
from diagnostics.models import Case, Patient
from diagnostics.views.pagination import read_page
from diagnostics.views.studies import group_by_study
from diagnostics.views.worklist import CURSOR


@require_safe
@requires(sees_cases)
def patient(request: HttpRequest, pk: UUID) -> HttpResponse:
    person = get_object_or_404(Patient.objects.visible_to(request.user), pk=pk)
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
