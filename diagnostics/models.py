"""The facts of the case portal: patients, cases, predictions, reviews, and the workers' heartbeats.

A case's life; each arrow is one conditional UPDATE (`services.analysis`, `services.administration`):

    queued ──▶ processing ──▶ done | refused(code) | failed(code)
      ▲            │
      └── lease over, or a transient error: attempt + 1 at the next claim, at most ANALYSIS_MAX_ATTEMPTS

The picture for the browser (`display`) is drawn by a claim of its own (`services.drawing`); once ready it stays.

A final case may lose its film when the retention time is over (`purged_at`); it is never queued again after that.
A row exists only once the film's bytes are durable, so there is no state before `queued`.
"""

import uuid

from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from accounts.models import Hospital, User
from diagnostics.querysets import CaseQuerySet, EmergencyAccessQuerySet, PatientQuerySet, ReviewQuerySet, WorkerQuerySet


class Patient(models.Model):
    """A hospital's patient, known by the medical record number."""

    class Sex(models.TextChoices):
        FEMALE = "F", "Female"
        MALE = "M", "Male"
        OTHER = "O", "Other"
        UNKNOWN = "", "Unknown"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    hospital = models.ForeignKey(Hospital, on_delete=models.PROTECT, related_name="patients")
    record_number = models.CharField("medical record number", max_length=64)
    name = models.CharField(max_length=200, blank=True)
    birth_date = models.DateField(null=True, blank=True)
    sex = models.CharField(max_length=1, choices=Sex, blank=True, default=Sex.UNKNOWN)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = PatientQuerySet.as_manager()

    class Meta:
        ordering = ["name", "record_number"]
        constraints = [
            models.UniqueConstraint(name="patient_record_number_is_unique_in_hospital", fields=["hospital", "record_number"]),
            models.CheckConstraint(name="patient_sex_is_known", condition=Q(sex__in=["F", "M", "O", ""])),
            models.CheckConstraint(name="patient_has_record_number", condition=~Q(record_number="")),
        ]

    def __str__(self) -> str:
        return f"{self.name or 'Unnamed'} ({self.record_number})"

    def get_absolute_url(self) -> str:
        return reverse("diagnostics:patient", args=[self.pk])


class Case(models.Model):
    """One film and its analysis. The row is the queue of record; see the diagram above."""

    class State(models.TextChoices):
        QUEUED = "queued", "Waiting for analysis"
        PROCESSING = "processing", "Being analysed"
        DONE = "done", "Analysed"
        REFUSED = "refused", "Not read"
        FAILED = "failed", "Analysis failed"

    class Format(models.TextChoices):
        JPEG = "JPEG"
        PNG = "PNG"
        DICOM = "DICOM"

    class Display(models.TextChoices):
        PENDING = "pending", "Being drawn"
        READY = "ready", "Ready"
        UNAVAILABLE = "unavailable", "Cannot be drawn"

    FINAL_STATES = frozenset({State.DONE, State.REFUSED, State.FAILED})

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    hospital = models.ForeignKey(Hospital, on_delete=models.PROTECT, related_name="cases")
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, null=True, blank=True, related_name="cases")
    uploader = models.ForeignKey(User, on_delete=models.PROTECT, related_name="uploads")
    accession_number = models.CharField(max_length=64, blank=True)
    study_instance_uid = models.CharField("study instance UID", max_length=64, blank=True)
    sop_instance_uid = models.CharField("SOP instance UID", max_length=64, blank=True)
    dicom_patient_id = models.CharField(
        "record number in the DICOM file",
        max_length=64,
        blank=True,
        help_text="May differ from the patient's: then the page warns.",
    )
    clinical_note = models.TextField(max_length=2000, blank=True)

    file_name = models.CharField(max_length=255, help_text="As the user named it; for display only.")
    original_key = models.CharField(max_length=200, editable=False, help_text="Empty once the film's bytes are removed.")
    sha256 = models.CharField("SHA-256 of the file", max_length=64, editable=False)
    pixel_sha256 = models.CharField("SHA-256 of the pixels", max_length=64, blank=True, editable=False)
    format = models.CharField(max_length=5, choices=Format)
    size_bytes = models.PositiveBigIntegerField()
    width = models.PositiveIntegerField(help_text="Pixels.")
    height = models.PositiveIntegerField(help_text="Pixels.")
    bits = models.PositiveSmallIntegerField(default=8, help_text="Per sample, as stored in the file.")
    display = models.CharField("picture for the browser", max_length=11, choices=Display, default=Display.PENDING)
    display_attempt = models.PositiveSmallIntegerField(default=0, db_default=0, editable=False)
    display_lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    duplicate_of = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="duplicates")
    idempotency_key = models.CharField(max_length=64, blank=True, editable=False)

    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    attempt = models.PositiveSmallIntegerField(default=0, help_text="Counts claims; raised before the film is opened.")
    worker = models.CharField(max_length=100, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    refusal_code = models.CharField(max_length=40, blank=True)
    failure_code = models.CharField(max_length=40, blank=True)

    created_at = models.DateTimeField("uploaded at", default=timezone.now, editable=False)
    queued_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True, editable=False)
    first_viewed_at = models.DateTimeField("result first opened at", null=True, blank=True, editable=False)
    purged_at = models.DateTimeField("film removed at", null=True, blank=True, editable=False)

    objects = CaseQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(name="case_worklist", fields=["hospital", "-created_at", "-id"]),
            models.Index(name="case_uploads", fields=["uploader", "-created_at"]),
            models.Index(name="case_queue", fields=["queued_at", "id"], condition=Q(state="queued")),
            models.Index(name="case_leases", fields=["lease_until"], condition=Q(state="processing")),
            models.Index(name="case_displays", fields=["-finished_at"], condition=Q(display="pending")),
            models.Index(name="case_same_file", fields=["sha256"]),
            models.Index(name="case_same_pixels", fields=["pixel_sha256"]),
            models.Index(name="case_study", fields=["hospital", "study_instance_uid"]),
            models.Index(name="case_same_instance", fields=["sop_instance_uid"]),
            models.Index(name="case_by_state", fields=["state"]),
        ]
        constraints = [
            models.CheckConstraint(
                name="case_state_is_known", condition=Q(state__in=["queued", "processing", "done", "refused", "failed"])
            ),
            models.CheckConstraint(name="case_display_is_known", condition=Q(display__in=["pending", "ready", "unavailable"])),
            models.CheckConstraint(name="case_format_is_known", condition=Q(format__in=["JPEG", "PNG", "DICOM"])),
            models.CheckConstraint(
                name="case_refused_has_code",
                condition=Q(state="refused", refusal_code__gt="") | (~Q(state="refused") & Q(refusal_code="")),
            ),
            models.CheckConstraint(
                name="case_failed_has_code",
                condition=Q(state="failed", failure_code__gt="") | (~Q(state="failed") & Q(failure_code="")),
            ),
            models.CheckConstraint(
                name="case_processing_has_lease",
                condition=Q(state="processing", lease_until__isnull=False) | (~Q(state="processing") & Q(lease_until=None)),
            ),
            models.CheckConstraint(
                name="case_final_has_end",
                condition=Q(state__in=["done", "refused", "failed"], finished_at__isnull=False)
                | (Q(state__in=["queued", "processing"]) & Q(finished_at=None)),
            ),
            models.CheckConstraint(
                name="case_without_film_is_final",
                condition=Q(purged_at=None, original_key__gt="")
                | Q(purged_at__isnull=False, state__in=["done", "refused", "failed"], display="unavailable"),
            ),
            models.UniqueConstraint(
                name="case_idempotency_key_is_unique",
                fields=["uploader", "idempotency_key"],
                condition=Q(idempotency_key__gt=""),
            ),
        ]

    def __str__(self) -> str:
        return f"Case {str(self.pk)[:8]}"

    def get_absolute_url(self) -> str:
        return reverse("diagnostics:case", args=[self.pk])

    @property
    def is_final(self) -> bool:
        return self.state in self.FINAL_STATES

    @property
    def is_settled(self) -> bool:
        """Nothing about the case will change by itself any more: the page may stop asking."""
        return self.state == self.State.FAILED or (self.is_final and self.display != self.Display.PENDING)

    @property
    def names_another_patient(self) -> bool:
        """The DICOM file's own record number is not that of the patient the film was filed under."""
        return bool(self.patient and self.dicom_patient_id and self.dicom_patient_id != self.patient.record_number)

    @property
    def prediction(self) -> "Prediction | None":
        """The latest prediction that is shown; reads the prefetched rows where there are any."""
        return max(self.shown_predictions, key=lambda row: row.created_at, default=None)

    @property
    def shown_predictions(self) -> "list[Prediction]":
        """What versions in service said of the film; a version in shadow is heard by nobody."""
        return [row for row in self.predictions.all() if not row.is_shadow]

    @property
    def result(self) -> "Prediction | None":
        """The prediction that the case stands for now; none while it waits, or where the latest analysis gave none."""
        return self.prediction if self.state == self.State.DONE else None

    @property
    def review(self) -> "Review | None":
        """The verdict in force: the latest; earlier ones stay and are superseded."""
        return max(self.reviews.all(), key=lambda row: row.created_at, default=None)


class Prediction(models.Model):
    """What one model version said of one case. Written once, never updated."""

    class Label(models.TextChoices):
        PNEUMONIA = "PNEUMONIA", "Pneumonia detected"
        NORMAL = "NORMAL", "Pneumonia not detected"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="predictions")
    model_version = models.CharField(max_length=64)
    probability = models.FloatField()
    threshold = models.FloatField()
    label = models.CharField(max_length=9, choices=Label)
    engine = models.CharField(max_length=40)
    timings = models.JSONField(default=dict, help_text="Milliseconds.")
    heatmap_key = models.CharField(max_length=200, blank=True, editable=False)
    heat_in_lung = models.FloatField(null=True, blank=True, help_text="Share of the heat inside the lung field, 0 to 1.")
    flags = models.JSONField(default=list, blank=True, help_text="Codes that warn of the film without refusing it.")
    is_shadow = models.BooleanField("by a version in shadow", default=False, help_text="Kept for comparison, never shown.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(name="prediction_by_time", fields=["created_at", "id"])]
        constraints = [
            models.UniqueConstraint(name="prediction_is_unique_per_case_and_version", fields=["case", "model_version"]),
            models.CheckConstraint(name="prediction_is_a_probability", condition=Q(probability__gte=0, probability__lte=1)),
            models.CheckConstraint(
                name="prediction_label_follows_threshold",
                condition=Q(label="PNEUMONIA", probability__gte=models.F("threshold"))
                | Q(label="NORMAL", probability__lt=models.F("threshold")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label} by {self.model_version}"


class GateOverride(models.Model):
    """A radiologist's decision to have a refused film read all the same. Never changed or deleted; shown with the result."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="overrides")
    code = models.CharField("refusal set aside", max_length=40)
    reason = models.TextField(max_length=1000)
    decided_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="gate_overrides")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(name="override_is_unique_per_case_and_code", fields=["case", "code"]),
            models.CheckConstraint(name="override_has_code_and_reason", condition=Q(code__gt="", reason__gt="")),
        ]

    def __str__(self) -> str:
        return f"{self.code} set aside for {str(self.case_id)[:8]}"


class Review(models.Model):
    """A clinician's verdict on a case. A later one supersedes an earlier one; none is changed or deleted."""

    class Verdict(models.TextChoices):
        AGREE = "agree", "I agree with the model"
        DISAGREE = "disagree", "I disagree with the model"

    class Finding(models.TextChoices):
        PNEUMONIA = "PNEUMONIA", "Features of pneumonia"
        NO_PNEUMONIA = "NO_PNEUMONIA", "No features of pneumonia"
        UNCERTAIN = "UNCERTAIN", "Uncertain"
        NOT_ASSESSABLE = "NOT_ASSESSABLE", "The film cannot be assessed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="reviews")
    prediction = models.ForeignKey(
        Prediction,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="reviews",
        help_text="What was judged.",
    )
    reviewer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="reviews")
    verdict = models.CharField(max_length=8, choices=Verdict, blank=True)
    finding = models.CharField("own finding", max_length=14, choices=Finding)
    note = models.TextField(max_length=4000, blank=True)
    signed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ReviewQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(name="review_by_signature", fields=["-signed_at"], condition=Q(signed_at__isnull=False))]
        constraints = [
            models.CheckConstraint(name="review_verdict_is_known", condition=Q(verdict__in=["agree", "disagree", ""])),
            models.CheckConstraint(
                name="review_finding_is_known",
                condition=Q(finding__in=["PNEUMONIA", "NO_PNEUMONIA", "UNCERTAIN", "NOT_ASSESSABLE"]),
            ),
            models.CheckConstraint(
                name="review_verdict_needs_prediction",
                condition=Q(prediction=None, verdict="") | Q(prediction__isnull=False, verdict__gt=""),
            ),
        ]

    def __str__(self) -> str:
        return f"Review of {str(self.case_id)[:8]} by {self.reviewer}"


class UnsavedReview(models.Model):
    """What a clinician had typed when the session neared its end: no review, and for its author alone until one is saved."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="unsaved_reviews")
    author = models.ForeignKey(User, on_delete=models.CASCADE, related_name="unsaved_reviews")
    judged = models.UUIDField("prediction on the screen", null=True, blank=True)
    verdict = models.CharField(max_length=8, choices=Review.Verdict, blank=True)
    finding = models.CharField(max_length=14, choices=Review.Finding, blank=True)
    note = models.TextField(max_length=4000, blank=True)
    saved_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(name="unsaved_review_is_one_per_author", fields=["case", "author"])]

    def __str__(self) -> str:
        return f"unsaved review of {str(self.case_id)[:8]}"


class EmergencyAccess(models.Model):
    """One case of another hospital, opened by a clinician for reading, for a while, with a reason. Never deleted.

    It stands by the user's hospital and role of that time, and ends with either (`EmergencyAccessQuerySet.live`).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="emergency_accesses")
    # Both are empty where the release before opened it, which knows neither
    user_hospital = models.ForeignKey(
        Hospital, on_delete=models.PROTECT, related_name="+", null=True, help_text="The user's at that time."
    )
    user_role = models.CharField(max_length=20, db_default="", help_text="The user's at that time.")
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="emergency_accesses")
    reason = models.TextField(max_length=500)
    opened_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = EmergencyAccessQuerySet.as_manager()

    class Meta:
        ordering = ["-opened_at"]
        verbose_name_plural = "emergency accesses"
        indexes = [models.Index(name="emergency_access_live", fields=["user", "expires_at"])]
        constraints = [
            models.CheckConstraint(name="emergency_access_has_reason", condition=Q(reason__gt="")),
            models.CheckConstraint(name="emergency_access_has_end", condition=Q(expires_at__gt=models.F("opened_at"))),
        ]

    def __str__(self) -> str:
        return f"emergency access to {str(self.case_id)[:8]} by {self.user}"


class Worker(models.Model):
    """A worker's heartbeat. The portal says "no worker since …" from here, never from Redis."""

    name = models.CharField(max_length=100, primary_key=True)
    model_version = models.CharField(max_length=64, blank=True)
    engine = models.CharField(max_length=40, blank=True)
    model_error = models.CharField(
        max_length=200, blank=True, help_text="Why the active version is not served; empty where it is."
    )
    started_at = models.DateTimeField(default=timezone.now)
    beat_at = models.DateTimeField(default=timezone.now)
    stopped_at = models.DateTimeField(null=True, blank=True)

    objects = WorkerQuerySet.as_manager()

    class Meta:
        ordering = ["-beat_at"]

    def __str__(self) -> str:
        return self.name
