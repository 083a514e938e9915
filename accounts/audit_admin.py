"""The audit log in Django admin: read and exported, never touched."""

from typing import cast

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.formats import date_format
from django.utils.timezone import localtime

from accounts.admin_base import HospitalScopedAdmin
from accounts.audit import Action
from accounts.audit_export import export_response
from accounts.models import AuditEvent, User


@admin.register(AuditEvent)
class AuditEventAdmin(HospitalScopedAdmin):
    """A hospital's admin sees what was done by its users and to its cases."""

    audit_read = Action.LOG_VIEWED
    list_display = ["sequence", "time", "actor", "role", "action", "outcome", "about", "address"]
    list_filter = ["action", "outcome", "role", "at", "hospital"]
    list_select_related = ["actor", "hospital"]
    search_fields = ["actor__email", "=object_id", "=patient", "=request_id", "=address"]
    date_hierarchy = "at"
    actions = ["export_csv", "export_fhir"]
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(ordering="at")
    def time(self, event: AuditEvent) -> str:
        return date_format(localtime(event.at), "j M Y, H:i:s")

    @admin.display(description="object")
    def about(self, event: AuditEvent) -> str:
        return f"{event.object_type} {event.object_id[:8]}".strip()

    @admin.action(description="Export as CSV", permissions=["view"])
    def export_csv(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> StreamingHttpResponse:
        return export_response(actor=cast(User, request.user), events=queryset, form="csv")

    @admin.action(description="Export as FHIR AuditEvents", permissions=["view"])
    def export_fhir(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> StreamingHttpResponse:
        return export_response(actor=cast(User, request.user), events=queryset, form="fhir")
