"""Roles as Django permissions."""

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import AnonymousUser
from django.db.models import Model

from accounts.models import User
from accounts.permissions import role_permissions


class RoleBackend(BaseBackend):
    """Answers `user.has_perm` from the user's role; it authenticates nobody."""

    def get_user_permissions(self, user_obj: User | AnonymousUser, obj: Model | None = None) -> set[str]:
        return set(role_permissions(user_obj)) if obj is None else set()

    def has_module_perms(self, user_obj: User | AnonymousUser, app_label: str) -> bool:
        return any(name.startswith(f"{app_label}.") for name in role_permissions(user_obj))
