"""What a doctor types: checked here, acted upon in the services."""

import re
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone

from diagnostics.models import Case, Patient, Prediction, Review, UnsavedReview
from diagnostics.querysets import CaseQuerySet
from diagnostics.services.uploads import PatientData

EARLIEST_BIRTH = date(1900, 1, 1)
SEX_CHOICES = [("", "Not given"), *[(value, label) for value, label in Patient.Sex.choices if value]]


class DateInput(forms.DateInput):
    input_type = "date"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs={"class": "form-control", **(attrs or {})}, format="%Y-%m-%d")


class FilmsInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilmsField(forms.FileField):
    """One or many files. Each is judged by the gate, by its content: names, types and emptiness are not asked about here."""

    widget = FilmsInput

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile]:
        files = [data] if isinstance(data, UploadedFile) else list(data or [])
        if not files:
            raise forms.ValidationError("Choose at least one film.", code="required")
        return files


def _text(**attrs: Any) -> forms.TextInput:
    return forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", **attrs})


class UploadForm(forms.Form):
    """Films with what is optionally known of them; a DICOM file's tags fill what is left empty."""

    file = FilmsField(
        label="Films",
        widget=FilmsInput(attrs={"class": "form-control", "accept": "image/jpeg,image/png,.dcm,application/dicom"}),
    )
    record_number = forms.CharField(label="Record number", max_length=64, required=False, widget=_text())
    name = forms.CharField(label="Patient's name", max_length=200, required=False, widget=_text())
    birth_date = forms.DateField(label="Birth date", required=False, widget=DateInput())
    sex = forms.ChoiceField(
        label="Sex", choices=SEX_CHOICES, required=False, widget=forms.Select(attrs={"class": "form-select"})
    )
    accession_number = forms.CharField(label="Accession number", max_length=64, required=False, widget=_text())
    clinical_note = forms.CharField(
        label="Clinical note",
        max_length=2000,
        required=False,
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 3}),
    )
    idempotency_key = forms.CharField(max_length=64, required=False, widget=forms.HiddenInput)

    def clean_birth_date(self) -> date | None:
        born: date | None = self.cleaned_data["birth_date"]
        if born and not EARLIEST_BIRTH <= born <= timezone.localdate():
            raise forms.ValidationError("The birth date lies in the future or before 1900.")
        return born

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        given = any(data.get(field) for field in ("name", "birth_date", "sex"))
        if given and not data.get("record_number") and "record_number" not in self.errors:
            self.add_error("record_number", "A patient is known by the record number: give it, or leave all of these empty.")
        return data

    def patient(self) -> PatientData | None:
        """What was typed of the patient, or None where nothing was."""
        data = self.cleaned_data
        if not data["record_number"]:
            return None
        return PatientData(data["record_number"], data["name"], data["birth_date"], data["sex"])


class WorklistFilter(forms.Form):
    """The worklist's filters. What cannot be read is reported beside its field and filters nothing."""

    STATES = [
        ("", "Any state"),
        ("waiting", "Waiting or being analysed"),
        ("done", "Analysed"),
        ("refused", "Not read"),
        ("failed", "Analysis failed"),
    ]
    LABELS = [("", "Any result"), *Prediction.Label.choices]

    q = forms.CharField(
        label="Search",
        max_length=200,
        required=False,
        widget=_text(type="search", placeholder="Patient, number, accession, file"),
    )
    state = forms.ChoiceField(
        label="State", choices=STATES, required=False, widget=forms.Select(attrs={"class": "form-select"})
    )
    label = forms.ChoiceField(
        label="Result", choices=LABELS, required=False, widget=forms.Select(attrs={"class": "form-select"})
    )
    patient = forms.CharField(
        label="Patient", max_length=200, required=False, widget=_text(placeholder="Name or record number")
    )
    since = forms.DateField(label="From", required=False, widget=DateInput())
    until = forms.DateField(label="To", required=False, widget=DateInput())
    unread = forms.BooleanField(
        label="Unread only", required=False, widget=forms.CheckboxInput(attrs={"class": "form-check-input"})
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("since") and data.get("until") and data["since"] > data["until"]:
            self.add_error("until", "This day lies before the first.")
        return data

    @property
    def is_active(self) -> bool:
        """Whether anything is filtered."""
        return any(self._values().values())

    def apply(self, cases: CaseQuerySet) -> CaseQuerySet:
        """The cases that pass every filter."""
        data = self._values()
        if text := data.get("q"):
            cases = cases.matching(text)
        if text := data.get("patient"):
            cases = cases.filter(Q(patient__name__icontains=text) | Q(patient__record_number__icontains=text))
        if data.get("unread"):
            cases = cases.unread()
        return self._by_date(self._by_result(cases, data), data)

    def _values(self) -> dict[str, Any]:
        self.is_valid()
        return self.cleaned_data

    @staticmethod
    def _by_result(cases: CaseQuerySet, data: dict[str, Any]) -> CaseQuerySet:
        if state := data.get("state"):
            waiting = [Case.State.QUEUED, Case.State.PROCESSING]
            cases = cases.filter(state__in=waiting if state == "waiting" else [state])
        if label := data.get("label"):
            latest = Prediction.objects.filter(case=OuterRef("pk"), is_shadow=False).order_by("-created_at").values("label")[:1]
            cases = cases.filter(state=Case.State.DONE).alias(latest_label=Subquery(latest)).filter(latest_label=label)
        return cases

    @staticmethod
    def _by_date(cases: CaseQuerySet, data: dict[str, Any]) -> CaseQuerySet:
        if since := data.get("since"):
            cases = cases.filter(created_at__gte=_start_of(since))
        if until := data.get("until"):
            cases = cases.filter(created_at__lt=_start_of(until + timedelta(days=1)))
        return cases


def _start_of(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


class ReviewForm(forms.Form):
    """A clinician's verdict. Agreement is asked for exactly where there is a prediction to agree with."""

    verdict = forms.ChoiceField(
        label="The model's result",
        choices=Review.Verdict.choices,
        widget=forms.RadioSelect(attrs={"class": "form-check-input"}),
        error_messages={"required": "Say whether you agree with the model."},
    )
    finding = forms.ChoiceField(
        label="Your own finding",
        choices=Review.Finding.choices,
        widget=forms.RadioSelect(attrs={"class": "form-check-input"}),
        error_messages={"required": "Say what you see on the film."},
    )
    note = forms.CharField(
        label="Note",
        max_length=4000,
        required=False,
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 3}),
    )
    judged = forms.UUIDField(required=False, widget=forms.HiddenInput)
    sign = forms.BooleanField(required=False, widget=forms.HiddenInput)

    SAME_FINDING = {Prediction.Label.PNEUMONIA: Review.Finding.PNEUMONIA, Prediction.Label.NORMAL: Review.Finding.NO_PNEUMONIA}

    def __init__(self, *args: Any, prediction: Prediction | None, restored: UnsavedReview | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prediction = prediction
        self.restored = restored
        self.fields["judged"].initial = prediction.pk if prediction else None
        if prediction is None:
            del self.fields["verdict"]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.prediction and self._contradicts(data.get("verdict", ""), data.get("finding", "")):
            self.add_error("finding", "Your finding and your verdict on the model's result contradict each other.")
        return data

    def _contradicts(self, verdict: str, finding: str) -> bool:
        """Uncertain films go with either verdict; a clear finding goes with one."""
        assert self.prediction is not None  # noqa: S101 - narrows the type; `clean` has asked
        clear: Sequence[str] = list(self.SAME_FINDING.values())
        if verdict not in Review.Verdict.values or finding not in clear:
            return False
        same = finding == self.SAME_FINDING[Prediction.Label(self.prediction.label)]
        return same != (verdict == Review.Verdict.AGREE)


class UnsavedReviewForm(forms.Form):
    """What was typed so far, finished or not."""

    verdict = forms.ChoiceField(choices=Review.Verdict.choices, required=False)
    finding = forms.ChoiceField(choices=Review.Finding.choices, required=False)
    note = forms.CharField(max_length=4000, required=False)
    judged = forms.UUIDField(required=False)


class EmergencyForm(forms.Form):
    """Which case of another hospital, and why."""

    UUID_ANYWHERE = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)

    case = forms.CharField(
        label="Address of the case",
        max_length=500,
        widget=_text(),
        help_text="The other hospital reads it out of the browser's address line, or sends the link.",
        error_messages={"required": "Give the address of the case."},
    )
    reason = forms.CharField(
        label="Reason",
        min_length=10,
        max_length=500,
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 3}),
        help_text="Both hospitals' admins read it.",
        error_messages={
            "required": "Give the reason: both hospitals' admins read it.",
            "min_length": "Give the reason in at least %(limit_value)d characters: both hospitals' admins read it.",
        },
    )

    def clean_case(self) -> UUID | None:
        """The key in an address or by itself; None for what holds none, which is answered like an unknown one."""
        found = self.UUID_ANYWHERE.search(self.cleaned_data["case"])
        return UUID(found[0]) if found else None


class OverrideForm(forms.Form):
    """Why a radiologist has a refused film read all the same."""

    reason = forms.CharField(
        label="Reason",
        min_length=10,
        max_length=1000,
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 3}),
        help_text="Shown with the result, with your name.",
        error_messages={
            "required": "Give the reason: it is shown with the result.",
            "min_length": "Give the reason in at least %(limit_value)d characters: it is shown with the result.",
        },
    )
