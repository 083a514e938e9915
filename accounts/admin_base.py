"""What the rooms' Django admin classes share: nobody deletes, a hospital's admin sees that hospital alone, all is audited."""

from collections.abc import Callable
from typing import Any, TypedDict, TypeVar
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import BaseModelAdmin
from django.contrib.admin.utils import NotRelationField, get_fields_from_path
from django.contrib.auth.models import AnonymousUser
from django.db.models import ForeignKey, ManyToManyField, Model, Q, QuerySet
from django.forms import ModelChoiceField, ModelMultipleChoiceField
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from accounts import audit
from accounts.models import AuditAction, User

M = TypeVar("M", bound=Model)


def within_hospital(queryset: QuerySet[M], *, user: User | AnonymousUser, of_hospital: Callable[[User], Q]) -> QuerySet[M]:
    """The rows that `of_hospital` says to be of the user's hospital; all rows for a superuser, none for nobody."""
    if not isinstance(user, User):
        return queryset.none()
    return queryset if user.is_superuser else queryset.filter(of_hospital(user))


class AuditFacts(TypedDict):
    """Which object an entry of the audit log is about; see `accounts.audit.record`."""

    object_type: str
    object_id: str | UUID
    hospital: UUID | None
    patient: UUID | None


class RoleAdmin(admin.ModelAdmin):
    """A model admin whose rows nobody deletes, not even a superuser; additions and changes are audited by field names.

    What a role may view, add and change stands in `accounts.permissions.ADMIN_PERMISSIONS` and reaches Django's own
    `has_*_permission` methods through `accounts.backends.RoleBackend`. Use this for what belongs to no hospital
    (model versions, workers), `HospitalScopedAdmin` for all else.
    """

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def audit_facts(self, obj: Model) -> AuditFacts:
        """Override where the object that counts is another than the row itself."""
        return {"object_type": str(self.opts.model_name), "object_id": str(obj.pk), "hospital": None, "patient": None}

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self._audit(request, obj, AuditAction.ADMIN_CHANGED, fields=["added"])
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        """In the transaction of the change: Django opens one around the form. Names of fields, never what stood in them."""
        self._audit(request, obj, AuditAction.ADMIN_CHANGED, fields=_changed_fields(message))
        return super().log_change(request, obj, message)

    def _audit(self, request: HttpRequest, obj: Model, action: AuditAction, **details: Any) -> None:
        actor = request.user if isinstance(request.user, User) else None
        audit.record(action, actor=actor, details={"in": "admin", **details}, **self.audit_facts(obj))

    def view_on_site(self, obj: Model) -> str | None:
        """Straight to the portal's page, which asks for itself who may see it."""
        found = getattr(obj, "get_absolute_url", None)
        return found() if found else None


class ScopedChoicesMixin(BaseModelAdmin):
    """Offers, in forms and autocompletes, only related rows that the user's own admin pages show. For inlines."""

    def formfield_for_foreignkey(self, db_field: ForeignKey, request: HttpRequest, **kwargs: Any) -> ModelChoiceField | None:
        return super().formfield_for_foreignkey(db_field, request, **self._scope_choices(db_field, request, kwargs))

    def formfield_for_manytomany(
        self, db_field: ManyToManyField, request: HttpRequest, **kwargs: Any
    ) -> ModelMultipleChoiceField | None:
        return super().formfield_for_manytomany(db_field, request, **self._scope_choices(db_field, request, kwargs))

    def _scope_choices(
        self, db_field: ForeignKey | ManyToManyField, request: HttpRequest, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        related = db_field.related_model
        if "queryset" in kwargs or not self.admin_site.is_registered(related):
            return kwargs
        related_admin = self.admin_site.get_model_admin(related)
        if isinstance(related_admin, HospitalScopedAdmin):
            kwargs["queryset"] = related_admin.get_queryset(request)
        return kwargs


class HospitalScopedAdmin(ScopedChoicesMixin, RoleAdmin):
    """A model admin that shows a hospital's admin only the rows of that hospital; superusers see all.

    Set `hospital_lookup` to the path from the model to its hospital, as in `filter()`:

        @admin.register(Case)
        class CaseAdmin(HospitalScopedAdmin):
            hospital_lookup = "hospital"          # the default

        @admin.register(Prediction)
        class PredictionAdmin(HospitalScopedAdmin):
            hospital_lookup = "case__hospital"

    Scoped are the list, search, actions, autocompletes, the choices of foreign keys whose model has a
    HospitalScopedAdmin of its own, and `list_filter` over relations. Another hospital's object under its own URL is
    404. For a foreign key to a model without such an admin, give `formfield_for_foreignkey` a queryset yourself.
    Give inlines `ScopedChoicesMixin`. An override of `get_queryset` must start from `super()`.
    """

    hospital_lookup = "hospital"
    audit_read: AuditAction | None = None  # with an action, opening a row and listing rows are audited

    def audit_facts(self, obj: Model) -> AuditFacts:
        return {**super().audit_facts(obj), "hospital": self._hospital_of(obj), "patient": getattr(obj, "patient_id", None)}

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        """Django's own record, whose latest rows stand on the index page, calls by its key what is audited when it is read."""
        entry = super().log_change(request, obj, message)
        if self.audit_read:
            LogEntry.objects.filter(pk=entry.pk).update(object_repr=f"{self.opts.verbose_name} {str(obj.pk)[:8]}")
        return entry

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> HttpResponse:
        if self.audit_read and (obj := context.get("original")):
            self._audit(request, obj, self.audit_read)
        return super().render_change_form(request, context, *args, **kwargs)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response = super().history_view(request, object_id, extra_context)
        if self.audit_read and response.status_code == 200 and (obj := super().get_object(request, object_id)):
            self._audit(request, obj, self.audit_read)
        return response

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """A POST that names no action gets the list, too."""
        response = super().changelist_view(request, extra_context)
        if request.method != "GET" and isinstance(response, TemplateResponse):
            self._audit_list(request, searched=bool(request.GET))
        return response

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        """Both the list and the autocomplete of a foreign key come through here. What was searched for is not kept."""
        if request.method == "GET":
            self._audit_list(request, searched=bool(search_term))
        return super().get_search_results(request, queryset, search_term)

    def _audit_list(self, request: HttpRequest, *, searched: bool) -> None:
        if self.audit_read:
            actor = request.user if isinstance(request.user, User) else None
            details = {"in": "admin", "list": str(self.opts.model_name), "searched": searched}
            audit.record(AuditAction.LIST_VIEWED, actor=actor, details=details)

    def _hospital_of(self, obj: Model) -> UUID | None:
        """The hospital's key, along `hospital_lookup`."""
        found: Any = obj
        for name in self.hospital_lookup.split("__"):
            found = getattr(found, name, None)
        return getattr(found, "pk", found)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return within_hospital(super().get_queryset(request), user=request.user, of_hospital=self.of_hospital)

    def of_hospital(self, user: User) -> Q:
        """Which rows are the user's hospital's; to be overridden where one path does not tell."""
        return Q(**{self.hospital_lookup: user.hospital_id})

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Model:
        found = super().get_object(request, object_id, from_field)
        if found is None:
            raise Http404
        return found

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Relations are filtered by what the list shows: the plain filter would name other hospitals' rows."""
        return [self._narrow_filter(item) for item in super().get_list_filter(request)]

    def _narrow_filter(self, item: Any) -> Any:
        if not isinstance(item, str):
            return item
        try:
            field = get_fields_from_path(self.model, item)[-1]
        except NotRelationField:
            return item
        return (item, admin.RelatedOnlyFieldListFilter) if field.is_relation else item


def _changed_fields(message: Any) -> list[str]:
    """The fields' names from the message that Django makes of a form: a list of what was done."""
    steps = message if isinstance(message, list) else []
    return [str(field) for step in steps for field in step.get("changed", {}).get("fields", [])]
