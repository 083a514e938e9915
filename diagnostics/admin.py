"""Django admin of the case portal: searchable and filtered; what is a record is read, never edited."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from accounts.admin_base import AuditFacts, HospitalScopedAdmin, RoleAdmin
from accounts.audit import Action
from accounts.models import User
from diagnostics.models import Case, EmergencyAccess, GateOverride, Patient, Prediction, Review, Worker
from diagnostics.services.administration import cancel_case
from diagnostics.services.emergency import end_emergency_accesses
from diagnostics.services.reanalysis import reanalyse_cases

FILM_REMOVED = ("purged_at", admin.EmptyFieldListFilter)


class RecordMixin:
    """Written by the portal alone: nobody adds, changes or deletes a row here."""

    def has_add_permission(self, _request: HttpRequest, _obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Model | None = None) -> bool:
        return False


class OfCaseAdmin(RecordMixin, HospitalScopedAdmin):
    """Rows that tell something of a case: to open one is to view the case."""

    hospital_lookup = "case__hospital"
    audit_read = Action.CASE_VIEWED

    def audit_facts(self, obj: Any) -> AuditFacts:
        return facts_of_case(obj.case)


def facts_of_case(case: Case) -> AuditFacts:
    return {"object_type": "case", "object_id": case.pk, "hospital": case.hospital_id, "patient": case.patient_id}


@admin.register(Patient)
class PatientAdmin(HospitalScopedAdmin):
    audit_read = Action.PATIENT_VIEWED
    list_display = ["record_number", "name", "birth_date", "sex", "hospital", "created_at"]
    list_filter = ["sex", "hospital"]
    search_fields = ["record_number", "name"]
    readonly_fields = ["hospital", "created_at"]

    def audit_facts(self, obj: Model) -> AuditFacts:
        return {**super().audit_facts(obj), "patient": obj.pk}

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A patient comes with a film."""
        return False


class PredictionInline(RecordMixin, admin.TabularInline):
    model = Prediction
    extra = 0
    fields = readonly_fields = ("model_version", "label", "probability", "threshold", "flags", "engine", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Prediction]:
        """Without those of a version in shadow: nobody may act on them."""
        return super().get_queryset(request).filter(is_shadow=False)


class OverrideInline(RecordMixin, admin.TabularInline):
    model = GateOverride
    extra = 0
    fields = readonly_fields = ("code", "reason", "decided_by", "created_at")


class ReviewInline(RecordMixin, admin.TabularInline):
    model = Review
    extra = 0
    fields = readonly_fields = ("reviewer", "verdict", "finding", "note", "signed_at", "created_at")


@admin.register(Case)
class CaseAdmin(RecordMixin, HospitalScopedAdmin):
    audit_read = Action.CASE_VIEWED
    list_display = ["short_id", "state", "code", "patient", "file_name", "uploader", "created_at", "attempt"]
    list_filter = ["state", "format", "refusal_code", "failure_code", "created_at", FILM_REMOVED, "hospital"]
    readonly_fields = ["purged_at"]
    search_fields = ["=id", "accession_number", "file_name", "patient__record_number", "patient__name", "uploader__email"]
    date_hierarchy = "created_at"
    list_select_related = ["patient", "uploader", "hospital"]
    inlines = [PredictionInline, OverrideInline, ReviewInline]
    actions = ["reanalyse", "cancel"]

    @admin.display(description="case", ordering="id")
    def short_id(self, case: Case) -> str:
        return str(case.pk)[:8]

    @admin.display(description="refusal or failure")
    def code(self, case: Case) -> str:
        return case.refusal_code or case.failure_code

    @admin.action(description="Analyse again with the active version (earlier results stay)", permissions=["manage"])
    def reanalyse(self, request: HttpRequest, queryset: QuerySet[Case]) -> None:
        assert isinstance(request.user, User)  # noqa: S101 - who is not logged in has no admin
        found = queryset.count()
        self._report(request, found, reanalyse_cases(cases=queryset, user=request.user), "put back into the queue")

    @admin.action(description="Cancel the analysis (waiting and running cases)", permissions=["manage"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Case]) -> None:
        assert isinstance(request.user, User)  # noqa: S101 - who is not logged in has no admin
        results = [cancel_case(case=case, by=request.user) for case in queryset]
        self._report(request, len(results), sum(results), "cancelled")

    def has_manage_permission(self, request: HttpRequest) -> bool:
        """Who may change cases may have them analysed again or stopped, though no field is editable."""
        return request.user.has_perm("diagnostics.change_case")

    def _report(self, request: HttpRequest, found: int, changed: int, done: str) -> None:
        if changed:
            self.message_user(request, f"{changed} case(s) {done}.", messages.SUCCESS)
        if skipped := found - changed:
            self.message_user(request, f"{skipped} case(s) left alone: their state does not allow it.", messages.WARNING)


@admin.register(Prediction)
class PredictionAdmin(OfCaseAdmin):
    list_display = ["case", "model_version", "label", "probability", "threshold", "engine", "created_at"]
    list_filter = ["label", "model_version", "engine", "created_at"]
    search_fields = ["=case__id", "model_version", "case__patient__record_number"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Prediction]:
        """Without those of a version in shadow, as on the case's page."""
        return super().get_queryset(request).filter(is_shadow=False)


@admin.register(GateOverride)
class GateOverrideAdmin(OfCaseAdmin):
    list_display = ["case", "code", "decided_by", "reason", "created_at"]
    list_filter = ["code", "created_at"]
    search_fields = ["=case__id", "reason", "decided_by__email", "case__patient__record_number"]


@admin.register(Review)
class ReviewAdmin(OfCaseAdmin):
    list_display = ["case", "reviewer", "verdict", "finding", "signed_at", "created_at"]
    list_filter = ["verdict", "finding", "signed_at", "created_at"]
    search_fields = ["=case__id", "reviewer__email", "reviewer__full_name", "note"]


@admin.register(EmergencyAccess)
class EmergencyAccessAdmin(OfCaseAdmin):
    """For the admins of both hospitals: whose case it is, and whose doctor. The reasons tell of the patient."""

    list_display = ["opened_at", "user", "users_hospital", "case", "cases_hospital", "expires_at", "ended_at", "reason"]
    list_filter = ["opened_at", "ended_at"]
    list_select_related = ["user__hospital", "user_hospital", "case__hospital"]
    search_fields = ["=id", "=case__id", "user__email", "user__full_name"]
    fields = ["user", "users_hospital", "case", "cases_hospital", "reason", "opened_at", "expires_at", "ended_at"]
    actions = ["end"]

    def of_hospital(self, user: User) -> Q:
        of_user = Q(user_hospital=user.hospital_id) | Q(user_hospital=None, user__hospital=user.hospital_id)
        return of_user | Q(case__hospital=user.hospital_id)

    @admin.display(description="the user's hospital")
    def users_hospital(self, access: EmergencyAccess) -> str:
        return (access.user_hospital or access.user.hospital).name

    @admin.display(description="the case's hospital")
    def cases_hospital(self, access: EmergencyAccess) -> str:
        return access.case.hospital.name

    @admin.action(description="End the access now", permissions=["view"])
    def end(self, request: HttpRequest, queryset: QuerySet[EmergencyAccess]) -> None:
        assert isinstance(request.user, User)  # noqa: S101 - who is not logged in has no admin
        ended = end_emergency_accesses(accesses=queryset, ended_by=request.user)
        self.message_user(request, f"Ended: {ended}.", messages.SUCCESS)


@admin.register(Worker)
class WorkerAdmin(RecordMixin, RoleAdmin):
    list_display = ["name", "model_version", "engine", "started_at", "beat_at", "stopped_at"]
    list_filter = ["model_version", "engine"]
    search_fields = ["name"]
