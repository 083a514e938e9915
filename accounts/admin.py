"""Django admin for hospitals, users and API tokens."""

from typing import Any, cast

from allauth.account.decorators import secure_admin_login
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin, messages
from django.contrib.admin import AdminSite
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Exists, Field, ForeignKey, Model, OuterRef, QuerySet
from django.forms import ModelChoiceField, ModelForm, TypedChoiceField
from django.http import HttpRequest
from django.views.generic import RedirectView

from accounts.admin_base import HospitalScopedAdmin
from accounts.audit import Action, record_about
from accounts.audit_admin import AuditEventAdmin
from accounts.invitations import InvitationError, invitation_url, mail_invitation, renew_invitation
from accounts.models import ApiToken, Hospital, Role, User
from accounts.permissions import assignable_roles, may_manage
from accounts.tokens import revoke_api_token
from accounts.users import deactivate_users, end_sessions, end_standing, remove_second_factors

# One door: the portal's log-in with its second factor and rate limits, and its password page.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
admin.site.password_change = RedirectView.as_view(pattern_name="account_change_password")  # type: ignore[method-assign, assignment]
# It leads from any row's key to its page, whoever's the row is; our pages link to that themselves (`RoleAdmin.view_on_site`).
admin.site.get_urls = lambda: [  # type: ignore[method-assign]
    pattern for pattern in AdminSite.get_urls(admin.site) if getattr(pattern, "name", "") != "view_on_site"
]
# Roles say who may do what, the user's row alone holds the address, and nobody reads another's TOTP secret.
admin.site.unregister([Group, EmailAddress, Authenticator])


ACCESS_FIELDS = ("role", "hospital", "is_active", "is_superuser")


def _told(user: User, name: str) -> str | bool:
    """What an access field was set to: a role, a hospital's key, or yes or no."""
    value = user.hospital_id if name == "hospital" else getattr(user, name)
    return value if isinstance(value, bool) else str(value)


@admin.register(Hospital)
class HospitalAdmin(HospitalScopedAdmin):
    """Superusers add and rename hospitals; an admin sees the own one."""

    hospital_lookup = "pk"
    list_display = ["name", "created_at"]
    search_fields = ["name"]
    readonly_fields = ["created_at"]


@admin.register(User)
class UserAdmin(HospitalScopedAdmin):
    """Invites, changes and deactivates users. Passwords are never shown and never set here."""

    list_display = ["email", "full_name", "role", "hospital", "is_active", "has_accepted", "has_second_factor", "last_login"]
    list_filter = ["role", "is_active", "hospital"]
    list_select_related = ["hospital"]
    search_fields = ["email", "full_name"]
    readonly_facts = ["has_accepted", "has_second_factor", "last_login", "date_joined"]
    actions = ["send_invitation_again", "deactivate", "log_out", "remove_second_factor"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        factors = User.objects.filter(pk=OuterRef("pk"), authenticator__isnull=False)
        return super().get_queryset(request).annotate(second_factor=Exists(factors))

    def get_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:  # type: ignore[override]
        if obj is None:
            return ["email", "full_name", "hospital", "role"]
        superuser = ["is_superuser"] if cast(User, request.user).is_superuser else []
        return ["email", "full_name", "hospital", "role", "is_active", *superuser, *self.readonly_facts]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        own = ["role", "is_active", "is_superuser"] if obj is not None and obj.pk == request.user.pk else []
        return [*self.readonly_facts, *own]

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or may_manage(request.user, cast(User, obj)))

    def formfield_for_choice_field(self, db_field: Field, request: HttpRequest, **kwargs: Any) -> TypedChoiceField | None:
        if db_field.name == "role":
            roles = assignable_roles(request.user)
            kwargs["choices"] = [choice for choice in Role.choices if choice[0] in roles]
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def formfield_for_foreignkey(self, db_field: ForeignKey, request: HttpRequest, **kwargs: Any) -> ModelChoiceField | None:
        if db_field.name == "hospital":
            kwargs["initial"] = cast(User, request.user).hospital_id
            kwargs["empty_label"] = None
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm, change: bool) -> None:
        if not change:
            obj.set_unusable_password()
        super().save_model(request, obj, form, change)
        this_user, by = User.objects.filter(pk=obj.pk), cast(User, request.user)
        if not change:
            transaction.on_commit(lambda: self._invite(request, obj))
        elif "is_active" in form.changed_data and not obj.is_active:
            deactivate_users(users=this_user, by=by)
        elif {"role", "hospital", "is_superuser"} & set(form.changed_data):
            end_standing(users=this_user, by=by)
        elif "email" in form.changed_data:
            end_sessions(users=this_user, by=by)
        # Last: it locks the log's end, and whoever revokes one of the user's tokens waits for that with the token locked.
        access = ACCESS_FIELDS if not change else [name for name in ACCESS_FIELDS if name in form.changed_data]
        if access:
            record_about(obj, Action.ACCESS_CHANGED, by=by, **{name: _told(obj, name) for name in access})

    @admin.display(description="Accepted", boolean=True)
    def has_accepted(self, user: User) -> bool:
        return user.has_usable_password()

    @admin.display(description="Second factor", boolean=True)
    def has_second_factor(self, user: User) -> bool:
        return bool(getattr(user, "second_factor", False))

    @admin.action(description="Send the invitation again", permissions=["change"])
    def send_invitation_again(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in self._manageable(request, queryset):
            try:
                renew_invitation(user=user, by=cast(User, request.user))
            except InvitationError as error:
                self.message_user(request, f"{user.email}: {error}", messages.WARNING)
            else:
                self._invite(request, user)

    @admin.action(description="Deactivate", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        count = deactivate_users(users=self._manageable(request, queryset), by=cast(User, request.user))
        self.message_user(request, f"Deactivated: {count}. Their sessions and API tokens have ended.")

    @admin.action(description="Log out everywhere", permissions=["change"])
    def log_out(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        count = end_sessions(users=self._manageable(request, queryset), by=cast(User, request.user))
        self.message_user(request, f"Logged out: {count}.")

    @admin.action(description="Remove second factors (lost phone or key)", permissions=["change"])
    def remove_second_factor(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        count = remove_second_factors(users=self._manageable(request, queryset), by=cast(User, request.user))
        self.message_user(request, f"Second factors removed: {count}. These users were logged out.")

    def _manageable(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        """Of the chosen users those whom the admin may change; never the admin, who could lock the door from outside."""
        ids = [user.pk for user in queryset if user.pk != request.user.pk and may_manage(request.user, user)]
        return User.objects.filter(pk__in=ids)

    def _invite(self, request: HttpRequest, user: User) -> None:
        url = invitation_url(user=user, request=request)
        mailed = mail_invitation(user=user, url=url)
        how = "was e-mailed to" if mailed else "COULD NOT be e-mailed to"
        text = f"The invitation {how} {user.email}. You can also hand over this link; it works once: {url}"
        self.message_user(request, text, messages.SUCCESS if mailed else messages.WARNING)


__all__ = ["ApiTokenAdmin", "AuditEventAdmin", "HospitalAdmin", "UserAdmin"]


@admin.register(ApiToken)
class ApiTokenAdmin(HospitalScopedAdmin):
    """Lists and revokes tokens. They are made by `create_api_token`, and neither token nor digest is shown."""

    hospital_lookup = "user__hospital"
    list_display = ["user", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at"]
    list_filter = ["scopes", "expires_at", "revoked_at"]
    list_select_related = ["user"]
    search_fields = ["user__email", "user__full_name"]
    fields = ["user", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at"]
    readonly_fields = ["user", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at"]
    actions = ["revoke"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        count = sum(revoke_api_token(token=token, by=cast(User, request.user)) for token in queryset)
        self.message_user(request, f"Revoked: {count}.")
