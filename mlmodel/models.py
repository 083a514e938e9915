"""The registry of model versions."""

from django.db import models
from django.utils import timezone


class ModelVersion(models.Model):
    """A trained version and its place in service.

    candidate ─▶ shadow ─▶ active ─▶ retired; at most one version is active.
    """

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

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                name="modelversion_state_is_known", condition=models.Q(state__in=["candidate", "shadow", "active", "retired"])
            ),
            models.CheckConstraint(
                name="modelversion_threshold_is_a_probability", condition=models.Q(threshold__gte=0, threshold__lte=1)
            ),
            models.UniqueConstraint(name="one_active_modelversion", fields=["state"], condition=models.Q(state="active")),
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
