"""Hospitals, their users, the users' API tokens, and the record of who did and read what."""

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


class Scope(models.TextChoices):
    """What a token opens; its user's role and hospital narrow that further."""

    READ = "cases:read", "Read cases"
    WRITE = "cases:write", "Upload films"


SCOPES = " ".join(Scope.values)


class ApiToken(models.Model):
    """A bearer token of a user. Only its SHA-256 is kept; the token itself is printed once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.CharField(max_length=40, default=SCOPES, help_text="Separated by blanks.")
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
            models.CheckConstraint(name="api_token_scopes_are_known", condition=Q(scopes__in=[*Scope.values, SCOPES])),
        ]

    def __str__(self) -> str:
        return f"token of {self.user}, expires {self.expires_at:%Y-%m-%d}"

    def allows(self, scope: Scope) -> bool:
        return scope.value in self.scopes.split()


class AuditAction(models.TextChoices):
    """What the log knows of; the values are written for ever and never renamed."""

    LOGIN = "login", "Logged in"
    LOGIN_FAILED = "login_failed", "Log-in failed"
    LOGIN_LOCKED = "login_locked", "Log-in refused: too many failures"
    LOGOUT = "logout", "Logged out"
    PASSWORD_SET = "password_set", "Password set"
    SECOND_FACTOR_ADDED = "second_factor_added", "Second factor added"
    SECOND_FACTOR_REMOVED = "second_factor_removed", "Second factor removed"
    SECOND_FACTOR_RENEWED = "second_factor_renewed", "Recovery codes made anew"
    SESSIONS_ENDED = "sessions_ended", "Sessions ended"
    TOKEN_CREATED = "token_created", "API token made"
    TOKEN_REVOKED = "token_revoked", "API token revoked"
    ACCESS_DENIED = "access_denied", "Access denied"
    ACCESS_OPENED = "access_opened", "Emergency access opened"
    ACCESS_CHANGED = "access_changed", "Role, hospital or access changed"

    LIST_VIEWED = "list_viewed", "List of cases viewed"
    PATIENT_VIEWED = "patient_viewed", "Patient viewed"
    CASE_VIEWED = "case_viewed", "Case viewed"
    IMAGE_READ = "image_read", "Image read"
    DOWNLOADED = "downloaded", "Original downloaded"
    UPLOADED = "uploaded", "Film uploaded"
    REVIEWED = "reviewed", "Draft of a review saved"
    SIGNED = "signed", "Review signed"
    OVERRIDDEN = "overridden", "Refusal set aside"
    REQUEUED = "requeued", "Queued for analysis again"
    CANCELLED = "cancelled", "Analysis cancelled"
    EXPORTED = "exported", "Exported"
    FILM_PURGED = "film_purged", "Film removed after the retention time"

    MODEL_CHANGED = "model_changed", "Model version changed"
    ADMIN_CHANGED = "admin_changed", "Changed in administration"
    LOG_VIEWED = "log_viewed", "Audit log viewed"
    BACKED_UP = "backed_up", "Backed up"
    RESTORED = "restored", "Restored from a backup"


class AuditOutcome(models.TextChoices):
    SUCCESS = "success", "Success"
    DENIED = "denied", "Denied"
    FAILED = "failed", "Failed"


class AuditEvent(models.Model):
    """One entry of the audit log. Only `accounts.audit.record` writes it; triggers in the database refuse change and deletion.

    The log holds identifiers and closed words, never a name, a tag or what somebody typed. `patient` and `object_id` are no
    foreign keys: the entry outlives what it tells of. `actor` and `hospital` are none to the database, which would lock their
    rows for each entry: whoever changes an address or a name holds that lock, and waits for the end of the chain. `digest`
    chains each entry to the one before it (`accounts.audit`).
    """

    sequence = models.BigIntegerField("number", primary_key=True)
    at = models.DateTimeField("time")
    action = models.CharField(max_length=24, choices=AuditAction)
    outcome = models.CharField(max_length=8, choices=AuditOutcome, default=AuditOutcome.SUCCESS)
    actor = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="audit_events", db_constraint=False
    )
    role = models.CharField(max_length=20, blank=True, help_text="The actor's at that time.")
    hospital = models.ForeignKey(
        Hospital, on_delete=models.PROTECT, null=True, blank=True, related_name="audit_events", db_constraint=False
    )
    object_type = models.CharField("kind of object", max_length=40, blank=True)
    object_id = models.CharField("object", max_length=64, blank=True)
    patient = models.UUIDField("patient's key", null=True, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)
    request_id = models.CharField("request", max_length=64, blank=True)
    details = models.JSONField(default=dict, blank=True)
    digest = models.CharField(max_length=64, editable=False)

    class Meta:
        ordering = ["-sequence"]
        indexes = [
            models.Index(name="audit_by_patient", fields=["patient", "-sequence"], condition=Q(patient__isnull=False)),
            models.Index(name="audit_by_actor", fields=["actor", "-sequence"]),
            models.Index(name="audit_by_hospital", fields=["hospital", "-sequence"]),
            models.Index(name="audit_by_object", fields=["object_id", "-sequence"]),
            models.Index(name="audit_by_time", fields=["at"]),
        ]
        constraints = [
            models.CheckConstraint(name="audit_action_is_known", condition=Q(action__in=AuditAction.values)),
            models.CheckConstraint(name="audit_outcome_is_known", condition=Q(outcome__in=AuditOutcome.values)),
        ]

    def __str__(self) -> str:
        return f"{self.sequence}: {self.get_action_display()}"


class AuditHead(models.Model):
    """The end of the chain: one row, locked by whoever appends, so that the log has one order and no gap."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    sequence = models.BigIntegerField(default=0)
    digest = models.CharField(max_length=64, blank=True)
    exported_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.CheckConstraint(name="audit_has_one_head", condition=Q(id=1))]

    def __str__(self) -> str:
        return f"head at {self.sequence}"
