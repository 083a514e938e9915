"""The registry of model versions, and the record of how each came into service.

A version's life; each arrow is one transaction with one `VersionEvent` (`services.lifecycle`):

    candidate ◀──▶ shadow ──▶ active ──▶ retired
        │             ▲       ▲  │ ▲         │
        └─────────────┼───────┘  │ └─────────┘  by activation, or by rollback
                      └──────────┘  suspended by the stop rule: no version is in service until one is activated

At most one version is active and at most one in shadow. Without an active row the newest shipped version serves, unless a row
says since when service is suspended.
"""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class ModelVersion(models.Model):
    """A trained version and its place in service; see the diagram above."""

    class State(models.TextChoices):
        CANDIDATE = "candidate", "Candidate"
        SHADOW = "shadow", "Shadow"
        ACTIVE = "active", "Active"
        RETIRED = "retired", "Retired"

    version = models.CharField(max_length=64, primary_key=True)
    path = models.CharField(max_length=500)
    sha256 = models.CharField("SHA-256", max_length=64)
    state = models.CharField(max_length=10, choices=State, default=State.CANDIDATE)
    threshold = models.FloatField("operating point")
    metrics = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    activated_at = models.DateTimeField(null=True, blank=True)
    suspended_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Since when no version is in service, because this one was taken out of it; empty once one is back.",
    )

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                name="modelversion_suspended_is_not_active", condition=Q(suspended_at=None) | ~Q(state="active")
            ),
            models.CheckConstraint(
                name="modelversion_state_is_known", condition=models.Q(state__in=["candidate", "shadow", "active", "retired"])
            ),
            models.CheckConstraint(
                name="modelversion_threshold_is_a_probability", condition=models.Q(threshold__gte=0, threshold__lte=1)
            ),
            models.UniqueConstraint(name="one_active_modelversion", fields=["state"], condition=models.Q(state="active")),
            models.UniqueConstraint(name="one_shadow_modelversion", fields=["state"], condition=models.Q(state="shadow")),
        ]

    def __str__(self) -> str:
        return self.version


class Evaluation(models.Model):
    """What `evaluate_model` found for one version on one set of films; a repetition replaces it.

    `data_sha256` names the films and their labels, `metrics` is the JSON report, and `directory` holds it with the predictions,
    the curves and the card.
    """

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="evaluations")
    data_sha256 = models.CharField("SHA-256 of the films and labels", max_length=64)
    n = models.PositiveIntegerField("films")
    patients = models.PositiveIntegerField()
    metrics = models.JSONField(default=dict)
    directory = models.CharField(max_length=500)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(name="evaluation_is_unique_per_version_and_data", fields=["version", "data_sha256"]),
        ]

    def __str__(self) -> str:
        return f"{self.version_id} on {self.n} films"


class Promotion(models.Model):
    """A request to activate a version, waiting for a second person; what it was found to be worth when it was asked for."""

    class State(models.TextChoices):
        PENDING = "pending", "Waits for a second person"
        APPROVED = "approved", "Approved"
        SUPERSEDED = "superseded", "Superseded"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="promotions")
    replaces = models.CharField("version in service then", max_length=64)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    reason = models.TextField(max_length=1000, blank=True)
    objections = models.JSONField(default=list, blank=True, help_text="Why it takes force; empty where it does not.")
    comparison = models.JSONField(default=dict, blank=True, help_text="With the version in service, on the same patients.")
    requested_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()

    class Meta:
        ordering = ["-requested_at"]
        constraints = [
            models.CheckConstraint(
                name="promotion_state_is_known", condition=Q(state__in=["pending", "approved", "superseded"])
            ),
            models.CheckConstraint(
                name="promotion_approved_by_a_second_person",
                condition=(Q(state="approved", approved_by__isnull=False) & ~Q(approved_by=models.F("requested_by")))
                | (~Q(state="approved") & Q(approved_by=None)),
            ),
            models.UniqueConstraint(name="one_pending_promotion_per_version", fields=["version"], condition=Q(state="pending")),
        ]

    def __str__(self) -> str:
        return f"Promotion of {self.version_id}"


class VersionEvent(models.Model):
    """One step in a version's life. Only ever added: rollback and the record of who did what are read from these rows."""

    class Kind(models.TextChoices):
        REGISTERED = "registered", "Registered"
        SHADOWED = "shadowed", "Put in shadow"
        WITHDRAWN = "withdrawn", "Taken out of shadow"
        ACTIVATED = "activated", "Activated"
        ROLLED_BACK = "rolled_back", "Activated by rollback"
        RETIRED = "retired", "Retired"
        SUSPENDED = "suspended", "Taken out of service by the stop rule"

    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="events")
    kind = models.CharField(max_length=11, choices=Kind)
    from_state = models.CharField(max_length=10, blank=True)
    to_state = models.CharField(max_length=10)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    reason = models.TextField(max_length=1000, blank=True)
    forced = models.BooleanField(default=False)
    comparison = models.JSONField(default=dict, blank=True)
    at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                name="versionevent_kind_is_known",
                condition=Q(
                    kind__in=["registered", "shadowed", "withdrawn", "activated", "rolled_back", "retired", "suspended"]
                ),
            ),
            models.CheckConstraint(name="versionevent_forced_has_reason", condition=Q(forced=False) | Q(reason__gt="")),
        ]

    def __str__(self) -> str:
        return f"{self.version_id}: {self.get_kind_display()}"


class ShadowTally(models.Model):
    """How a version in shadow agrees with the one in service, counted as the films are read; sums, so that workers add up.

    Differences are of probabilities, shadow less active. `cursor` is the caller's own bookmark in the films, moved by
    compare-and-swap: whoever moves it reads what it passed over.
    """

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="tallies")
    against = models.CharField("version in service", max_length=64)
    cursor = models.CharField(max_length=100, blank=True)
    n = models.PositiveIntegerField("films that both read", default=0)
    agreed = models.PositiveIntegerField("films with the same label", default=0)
    refused = models.PositiveIntegerField("films that the shadow alone refused", default=0)
    difference = models.FloatField("sum of the differences", default=0.0)
    absolute_difference = models.FloatField("sum of the absolute differences", default=0.0)
    started_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint(name="tally_is_unique_per_pair", fields=["version", "against"]),
            models.CheckConstraint(name="tally_agrees_on_what_was_read", condition=Q(agreed__lte=models.F("n"))),
        ]

    def __str__(self) -> str:
        return f"{self.version_id} beside {self.against}"
