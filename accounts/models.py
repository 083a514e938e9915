"""Hospitals, their users and the users' API tokens."""

import uuid
from typing import ClassVar

from django.contrib.auth.models import AbstractBaseUser, PermissionsMixin
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.managers import ApiTokenQuerySet, UserManager


class Hospital(models.Model):
    """The border of all that is seen: every user and every case belongs to one hospital."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=200, unique=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [models.CheckConstraint(name="hospital_has_name", condition=~Q(name=""))]

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    DOCTOR = "doctor", "Doctor"
    RADIOLOGIST = "radiologist", "Radiologist"
    ADMIN = "admin", "Radiology admin"
    OPERATOR = "operator", "Operator"


STAFF_ROLES = frozenset({Role.ADMIN, Role.OPERATOR})


class User(AbstractBaseUser, PermissionsMixin):
    """Somebody who logs in by e-mail address. The role says what they may do, the hospital what they may see.

    Addresses are stored in lower case: allauth looks them up so, and then one unique index is enough to keep
    `A@x` and `a@x` from being two people.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField("e-mail address", unique=True, error_messages={"unique": "This address has a log-in already."})
    full_name = models.CharField(max_length=200)
    hospital = models.ForeignKey(Hospital, on_delete=models.PROTECT, related_name="users")
    role = models.CharField(max_length=20, choices=Role, default=Role.DOCTOR)
    is_active = models.BooleanField("active", default=True, help_text="Clear this instead of deleting the user.")
    date_joined = models.DateTimeField(default=timezone.now, editable=False)
    session_version = models.PositiveIntegerField(default=0, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["full_name"]

    class Meta:
        ordering = ["email"]
        constraints = [
            models.CheckConstraint(name="user_role_is_known", condition=Q(role__in=Role.values)),
            models.CheckConstraint(name="user_email_is_lower_case", condition=Q(email=Lower(F("email")))),
        ]

    def __str__(self) -> str:
        return self.full_name or self.email

    @property
    def is_staff(self) -> bool:
        """Whether Django admin opens at all; what it shows is the role's business (`accounts.permissions`)."""
        return self.is_superuser or self.role in STAFF_ROLES

    def clean(self) -> None:
        super().clean()
        self.email = self.email.lower()

    def get_full_name(self) -> str:
        return self.full_name

    def get_short_name(self) -> str:
        return self.full_name.split(" ")[0] if self.full_name else self.email

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        # Counting session_version up ends every session of the user, in whatever store the sessions are kept.
        return salted_hmac(
            "accounts.User.session", f"{self.password}:{self.session_version}", secret=secret, algorithm="sha256"
        ).hexdigest()


class ApiToken(models.Model):
    """A bearer token of a user. Only its SHA-256 is kept; the token itself is printed once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API token"
        constraints = [
            models.CheckConstraint(name="api_token_expires_after_it_is_made", condition=Q(expires_at__gt=F("created_at"))),
        ]

    def __str__(self) -> str:
        return f"token of {self.user}, expires {self.expires_at:%Y-%m-%d}"
