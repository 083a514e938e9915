"""How users are made, and which API tokens count."""

from typing import TYPE_CHECKING, Any, Self

from django.apps import apps
from django.contrib.auth.models import BaseUserManager
from django.db import models, transaction
from django.utils import timezone

if TYPE_CHECKING:
    from accounts.models import ApiToken, User  # noqa: F401


class UserManager(BaseUserManager["User"]):
    """Makes users by e-mail address; addresses are kept in lower case."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """A user with that password, or with none at all (an invitation sets it)."""
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=email.lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """For `createsuperuser`: of the named hospital, else of the first one (made when there is none)."""
        # They need the models, which need this
        from accounts.audit import Action, record_about

        hospitals = apps.get_model("accounts", "Hospital").objects
        with transaction.atomic(using=self._db):
            hospital = fields.pop("hospital", None) or hospitals.first() or hospitals.create(name="Main hospital")
            user = self.create_user(email, password, hospital=hospital, role="admin", is_superuser=True, **fields)
            record_about(user, Action.ACCESS_CHANGED, by=None, role="admin", is_superuser=True)
        return user

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").lower())


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    """Predicates over tokens."""

    def usable(self) -> Self:
        """Neither expired nor revoked, and of a user who may log in."""
        return self.filter(expires_at__gt=timezone.now(), revoked_at=None, user__is_active=True)
