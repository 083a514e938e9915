"""Who may do what. Roles are asked about here and nowhere else."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Concatenate, ParamSpec
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase

from accounts import audit
from accounts.audit import Action, Outcome
from accounts.models import Role, User

CLINICAL_ROLES = frozenset({Role.DOCTOR, Role.RADIOLOGIST, Role.ADMIN})

# Django's model permissions by role: what Django admin shows and allows. Nobody but a superuser has more.
ADMIN_PERMISSIONS: Mapping[str, frozenset[str]] = {
    Role.ADMIN: frozenset(
        {
            "accounts.view_auditevent",
            "accounts.view_hospital",
            "accounts.add_user",
            "accounts.change_user",
            "accounts.view_user",
            "accounts.change_apitoken",
            "accounts.view_apitoken",
            "diagnostics.change_patient",
            "diagnostics.view_patient",
            "diagnostics.change_case",
            "diagnostics.view_case",
            "diagnostics.view_emergencyaccess",
            "diagnostics.view_gateoverride",
            "diagnostics.view_prediction",
            "diagnostics.view_review",
            "diagnostics.view_worker",
            "mlmodel.view_modelversion",
        }
    ),
    Role.OPERATOR: frozenset(
        {"diagnostics.view_worker", "mlmodel.change_modelversion", "mlmodel.view_modelversion"},
    ),
}

P = ParamSpec("P")


def role_permissions(user: User | AnonymousUser) -> frozenset[str]:
    """The model permissions ("app.action_model") that the user's role brings."""
    if not isinstance(user, User) or not user.is_active:
        return frozenset()
    return ADMIN_PERMISSIONS.get(user.role, frozenset())


def assignable_roles(user: User | AnonymousUser) -> frozenset[str]:
    """The roles that this user may give to others.

    Operators change the model for every hospital, so a hospital's admin cannot make one.
    """
    if not may_use_admin(user) or not isinstance(user, User):
        return frozenset()
    if user.is_superuser:
        return frozenset(Role.values)
    return CLINICAL_ROLES if user.role == Role.ADMIN else frozenset()


def may_manage(user: User | AnonymousUser, target: User) -> bool:
    """Whether this user may change that one: superusers anybody, admins whom they could have invited."""
    if not isinstance(user, User):
        return False
    if user.is_superuser:
        return user.is_active
    same_hospital = user.hospital_id == target.hospital_id
    return same_hospital and not target.is_superuser and target.role in assignable_roles(user)


def sees_cases(user: User | AnonymousUser) -> bool:
    """Doctors, radiologists and radiology admins see the cases of their hospital; operators see none."""
    return isinstance(user, User) and user.is_active and user.role in CLINICAL_ROLES


def may_upload(user: User | AnonymousUser) -> bool:
    return sees_cases(user)


def may_review(user: User | AnonymousUser) -> bool:
    """A verdict is a clinician's: doctors and radiologists give it."""
    return isinstance(user, User) and user.is_active and user.role in {Role.DOCTOR, Role.RADIOLOGIST}


def may_override_refusals(user: User | AnonymousUser) -> bool:
    """To have a refused film read all the same is a radiologist's decision."""
    return isinstance(user, User) and user.is_active and user.role == Role.RADIOLOGIST


def may_read_audit(user: User | AnonymousUser) -> bool:
    """Who looked at whose films is a radiology admin's to know."""
    return isinstance(user, User) and user.is_active and (user.is_superuser or user.role == Role.ADMIN)


def may_use_admin(user: User | AnonymousUser) -> bool:
    return isinstance(user, User) and user.is_active and user.is_staff


def may_open_in_emergency(user: User | AnonymousUser) -> bool:
    """To open another hospital's case at night is for those who treat the child, not for those who run the place."""
    return may_review(user)


def needs_second_factor(user: User | AnonymousUser) -> bool:
    """Whose password alone must not open the portal: those who run it, or everybody (`MFA_REQUIRED_FOR`)."""
    return isinstance(user, User) and (user.is_staff or settings.MFA_REQUIRED_FOR == "all")


def record_denial(request: HttpRequest, *, user: User | None = None, object_type: str = "", object_id: str | UUID = "") -> None:
    """Somebody who is logged in (or `user`, told by a token) asked for what is not theirs.

    The view's name is kept, not the address: that may hold a search.
    """
    actor = user or request.user
    if isinstance(actor, User):
        view = request.resolver_match.view_name if request.resolver_match else ""
        audit.record(
            Action.ACCESS_DENIED,
            actor=actor,
            object_type=object_type,
            object_id=object_id,
            outcome=Outcome.DENIED,
            details={"view": view, "method": request.method or ""},
        )


def requires(
    allowed: Callable[[User | AnonymousUser], bool],
) -> Callable[
    [Callable[Concatenate[HttpRequest, P], HttpResponseBase]], Callable[Concatenate[HttpRequest, P], HttpResponseBase]
]:
    """View decorator: 403 for a user whose role does not allow it, and an entry of the audit log."""

    def decorate(
        view: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
    ) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
        @wraps(view)
        def checked(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if not allowed(request.user):
                record_denial(request)
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return checked

    return decorate
