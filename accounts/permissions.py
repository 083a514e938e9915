"""Who may do what. Roles are asked about here and nowhere else."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase

from accounts.models import Role, User

CLINICAL_ROLES = frozenset({Role.DOCTOR, Role.RADIOLOGIST, Role.ADMIN})

P = ParamSpec("P")


def sees_cases(user: User | AnonymousUser) -> bool:
    """Doctors, radiologists and radiology admins see the cases of their hospital; operators see none."""
    return isinstance(user, User) and user.is_active and user.role in CLINICAL_ROLES


def may_upload(user: User | AnonymousUser) -> bool:
    return sees_cases(user)


def may_review(user: User | AnonymousUser) -> bool:
    """A verdict is a clinician's: doctors and radiologists give it."""
    return isinstance(user, User) and user.is_active and user.role in {Role.DOCTOR, Role.RADIOLOGIST}


def may_use_admin(user: User | AnonymousUser) -> bool:
    return isinstance(user, User) and user.is_active and user.is_staff


def requires(
    allowed: Callable[[User | AnonymousUser], bool],
) -> Callable[
    [Callable[Concatenate[HttpRequest, P], HttpResponseBase]], Callable[Concatenate[HttpRequest, P], HttpResponseBase]
]:
    """View decorator: 403 for a user whose role does not allow it."""

    def decorate(
        view: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
    ) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
        @wraps(view)
        def checked(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if not allowed(request.user):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return checked

    return decorate
