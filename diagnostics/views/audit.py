"""Who looked at a patient: for the radiology admins of the hospital."""

from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.audit import Action
from accounts.audit_export import FORMATS, export_response
from accounts.models import AuditEvent, User
from accounts.permissions import may_read_audit, requires
from diagnostics.models import Patient
from diagnostics.services.trail import record_patient
from diagnostics.views.fetch import get_visible_or_404

PAGE_SIZE = 50
CURSOR = "before"


@require_safe
@requires(may_read_audit)
def patient_access(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """The audit log's entries about one patient, newest first; all of them as a file with `?format=csv|fhir`."""
    assert isinstance(request.user, User)  # noqa: S101 - `requires` has asked
    patient = get_visible_or_404(request, Patient.objects.audited_by(request.user), pk)
    events = AuditEvent.objects.filter(patient=patient.pk)
    form = request.GET.get("format", "")
    if form in FORMATS:
        return export_response(actor=request.user, events=events, form=form, patient=patient.pk)
    record_patient(Action.LOG_VIEWED, patient=patient, actor=request.user)
    return _page(request, patient, events)


def _page(request: HttpRequest, patient: Patient, events: QuerySet[AuditEvent]) -> HttpResponse:
    before = request.GET.get(CURSOR, "")
    rows = events.select_related("actor__hospital").order_by("-sequence")
    if before.isdecimal():
        rows = rows.filter(sequence__lt=int(before))
    found = list(rows[: PAGE_SIZE + 1])
    context = {
        "patient": patient,
        "events": found[:PAGE_SIZE],
        "next_cursor": found[PAGE_SIZE - 1].sequence if len(found) > PAGE_SIZE else None,
        "is_first": not before,
        "people": events.filter(actor__isnull=False).order_by().values("actor").distinct().count(),
        "entries": events.count(),
    }
    return render(request, "diagnostics/patient_access.html", context)
