"""What the rooms' Django admin classes share: nobody deletes, and a hospital's admin sees that hospital alone."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib import admin
from django.contrib.admin.options import BaseModelAdmin
from django.contrib.admin.utils import NotRelationField, get_fields_from_path
from django.contrib.auth.models import AnonymousUser
from django.db.models import ForeignKey, ManyToManyField, Model, Q, QuerySet
from django.forms import ModelChoiceField, ModelMultipleChoiceField
from django.http import Http404, HttpRequest

from accounts.models import User

M = TypeVar("M", bound=Model)


def within_hospital(queryset: QuerySet[M], *, user: User | AnonymousUser, of_hospital: Callable[[User], Q]) -> QuerySet[M]:
    """The rows that `of_hospital` says to be of the user's hospital; all rows for a superuser, none for nobody."""
    if not isinstance(user, User):
        return queryset.none()
    return queryset if user.is_superuser else queryset.filter(of_hospital(user))


class RoleAdmin(admin.ModelAdmin):
    """A model admin whose rows nobody deletes, not even a superuser.

    What a role may view, add and change stands in `accounts.permissions.ADMIN_PERMISSIONS` and reaches Django's own
    `has_*_permission` methods through `accounts.backends.RoleBackend`. Use this for what belongs to no hospital
    (model versions, workers), `HospitalScopedAdmin` for all else.
    """

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

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
