"""Model versions in Django admin: read here, changed by commands, which leave a trail; a request is approved here."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from mlmodel.models import Evaluation, ModelVersion, Promotion, ShadowTally, VersionEvent
from mlmodel.services.errors import LifecycleError
from mlmodel.services.people import PERMISSION
from mlmodel.services.promotion import approve_promotion


class RegistryAdmin(admin.ModelAdmin):
    """Rows of the registry, for whoever may see versions: nobody adds, changes or deletes one by hand."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("mlmodel.view_modelversion")

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("mlmodel.view_modelversion")

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(ModelVersion)
class ModelVersionAdmin(RegistryAdmin):
    list_display = ["version", "state", "threshold", "created_at", "activated_at"]
    list_filter = ["state"]
    search_fields = ["version", "sha256"]


@admin.register(Promotion)
class PromotionAdmin(RegistryAdmin):
    list_display = ["version", "replaces", "state", "requested_by", "requested_at", "expires_at", "objections", "approved_by"]
    list_filter = ["state"]
    list_select_related = ["requested_by", "approved_by"]
    search_fields = ["version__version", "requested_by__email"]
    actions = ["approve"]

    def has_approve_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(PERMISSION)

    @admin.action(description="Approve promotion: the version reads films from now on", permissions=["approve"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Promotion]) -> None:
        """One at a time, and never one that takes force: its reason is given on the command line."""
        if queryset.count() != 1:
            self.message_user(request, "Choose one promotion.", messages.WARNING)
            return
        user: Any = request.user
        promotion = queryset.select_related("requested_by").get()
        try:
            done = approve_promotion(promotion=promotion, person=user)
        except LifecycleError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.message_user(request, f"{done.version} is active in place of {done.replaces}.", messages.SUCCESS)


@admin.register(VersionEvent)
class VersionEventAdmin(RegistryAdmin):
    list_display = ["at", "version", "kind", "from_state", "to_state", "requested_by", "approved_by", "forced", "reason"]
    list_filter = ["kind", "forced", "at"]
    list_select_related = ["requested_by", "approved_by"]
    search_fields = ["version__version", "requested_by__email", "reason"]
    ordering = ["-pk"]


@admin.register(Evaluation)
class EvaluationAdmin(RegistryAdmin):
    list_display = ["version", "n", "patients", "data_sha256", "created_at"]
    search_fields = ["version__version", "data_sha256"]


@admin.register(ShadowTally)
class ShadowTallyAdmin(RegistryAdmin):
    list_display = ["version", "against", "n", "agreed", "refused", "started_at"]
    search_fields = ["version__version"]
