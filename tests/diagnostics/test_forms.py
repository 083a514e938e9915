"""What may be typed, and what is said about the rest."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile, UploadedFile
from django.utils import timezone
from django.utils.datastructures import MultiValueDict

from accounts.models import User
from diagnostics.forms import ReviewForm, UploadForm, WorklistFilter
from diagnostics.services.uploads import PatientData
from tests.diagnostics.cases import make_case, make_prediction


def upload_form(*names: str, **data: str) -> UploadForm:
    files: MultiValueDict[str, UploadedFile] = MultiValueDict()
    files.setlist("file", [SimpleUploadedFile(name, b"bytes") for name in names])
    return UploadForm(data, files)


def test_one_or_many_films_are_taken() -> None:
    assert upload_form("a.jpg").is_valid()
    many = upload_form("a.jpg", "b.png")
    assert many.is_valid()
    assert [file.name for file in many.cleaned_data["file"]] == ["a.jpg", "b.png"]


def test_no_film_is_a_complaint() -> None:
    assert upload_form().errors["file"] == ["Choose at least one film."]


def test_an_empty_file_is_left_to_the_gate() -> None:
    files: MultiValueDict[str, UploadedFile] = MultiValueDict()
    files.setlist("file", [SimpleUploadedFile("a.jpg", b"")])
    assert UploadForm({}, files).is_valid()


@pytest.mark.parametrize("given", [{"name": "Okafor"}, {"birth_date": "2022-03-04"}, {"sex": "F"}])
def test_a_patient_needs_a_record_number(given: dict[str, str]) -> None:
    assert set(upload_form("a.jpg", **given).errors) == {"record_number"}
    assert upload_form("a.jpg", record_number="MRN-1", **given).is_valid()


def test_an_accession_number_needs_no_patient() -> None:
    assert upload_form("a.jpg", accession_number="A-1", clinical_note="Fever").is_valid()


@pytest.mark.parametrize(("days", "valid"), [(-1, True), (0, True), (1, False)])
def test_nobody_is_born_tomorrow(days: int, valid: bool) -> None:
    born = timezone.localdate() + timedelta(days=days)
    assert upload_form("a.jpg", record_number="M", birth_date=born.isoformat()).is_valid() is valid


def test_nobody_was_born_in_1850() -> None:
    assert not upload_form("a.jpg", record_number="M", birth_date="1850-01-01").is_valid()


def test_the_patient_is_what_was_typed() -> None:
    form = upload_form("a.jpg", record_number=" MRN-1 ", name="Okafor", sex="M")
    assert form.is_valid()
    assert form.patient() == PatientData("MRN-1", "Okafor", None, "M")


def test_nothing_typed_is_no_patient() -> None:
    form = upload_form("a.jpg")
    assert form.is_valid()
    assert form.patient() is None


def test_an_unfiltered_worklist_is_not_active() -> None:
    assert not WorklistFilter({}).is_active
    assert not WorklistFilter({"state": "", "q": " "}).is_active
    assert WorklistFilter({"q": "x"}).is_active


def review_form(doctor: User, probability: float | None, **data: Any) -> ReviewForm:
    case = make_case(doctor, state="done")
    prediction = None if probability is None else make_prediction(case, probability=probability)
    return ReviewForm(data, prediction=prediction)


@pytest.mark.parametrize(
    ("probability", "verdict", "finding", "valid"),
    [
        (0.9, "agree", "PNEUMONIA", True),
        (0.9, "agree", "NO_PNEUMONIA", False),
        (0.9, "disagree", "NO_PNEUMONIA", True),
        (0.9, "disagree", "PNEUMONIA", False),
        (0.1, "agree", "NO_PNEUMONIA", True),
        (0.1, "agree", "PNEUMONIA", False),
        (0.1, "disagree", "PNEUMONIA", True),
        (0.9, "agree", "UNCERTAIN", True),
        (0.1, "disagree", "NOT_ASSESSABLE", True),
        (0.9, "", "PNEUMONIA", False),
        (0.9, "agree", "", False),
        (None, "", "UNCERTAIN", True),
        (None, "", "", False),
    ],
)
def test_a_verdict_and_a_finding_must_fit(
    doctor: User, probability: float | None, verdict: str, finding: str, valid: bool
) -> None:
    assert review_form(doctor, probability, verdict=verdict, finding=finding).is_valid() is valid


def test_a_verdict_on_no_prediction_is_not_even_read(doctor: User) -> None:
    form = review_form(doctor, None, verdict="agree", finding="UNCERTAIN")
    assert form.is_valid()
    assert "verdict" not in form.cleaned_data


@pytest.mark.parametrize(("sent", "signs"), [("true", True), ("false", False), ("", False)])
def test_only_the_signing_button_signs(doctor: User, sent: str, signs: bool) -> None:
    form = review_form(doctor, None, finding="UNCERTAIN", sign=sent)
    assert form.is_valid()
    assert form.cleaned_data["sign"] is signs
