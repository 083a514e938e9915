"""Model versions in Django admin: read here, changed by management commands, which leave a trail."""

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from mlmodel.models import ModelVersion


@admin.register(ModelVersion)
class ModelVersionAdmin(admin.ModelAdmin):
    list_display = ["version", "state", "threshold", "created_at", "activated_at"]
    list_filter = ["state"]
    search_fields = ["version", "sha256"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
