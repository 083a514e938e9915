"""The upload page: one answer per file, in words and as JSON."""

from typing import Any, NoReturn
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from diagnostics import storage
from diagnostics.exceptions import StorageUnavailableError
from diagnostics.models import Case
from tests.diagnostics.cases import make_prediction

UPLOAD = "/cases/upload/"
JSON = {"Accept": "application/json"}


@pytest.fixture
def reader(client: Client, doctor: User) -> Client:
    client.force_login(doctor)
    return client


def post(client: Client, *files: tuple[str, bytes], headers: dict[str, str] | None = None, **data: Any) -> Any:
    sent = [SimpleUploadedFile(name, content) for name, content in files]
    return client.post(UPLOAD, {"file": sent, **data}, headers=headers)


def test_one_film_is_answered_with_its_case(reader: Client, film_jpeg: bytes) -> None:
    answer = post(reader, ("chest.jpg", film_jpeg), headers=JSON)
    case = Case.objects.get()
    assert answer.status_code == 201
    assert answer.json() == {
        "id": str(case.pk),
        "state": "queued",
        "url": f"/cases/{case.pk}/",
        "status_url": f"/cases/{case.pk}/status/",
        "duplicate": None,
    }


def test_a_repeat_with_the_same_key_is_the_same_case(reader: Client, film_jpeg: bytes) -> None:
    key = str(uuid4())
    first = post(reader, ("chest.jpg", film_jpeg), headers=JSON, idempotency_key=key)
    again = post(reader, ("chest.jpg", film_jpeg), headers=JSON, idempotency_key=key)
    by_header = post(reader, ("chest.jpg", film_jpeg), headers=JSON | {"Idempotency-Key": key})
    assert (first.status_code, again.status_code, by_header.status_code) == (201, 200, 200)
    assert first.json()["id"] == again.json()["id"] == by_header.json()["id"]
    assert Case.objects.count() == 1


def test_a_key_of_another_file_is_a_conflict(reader: Client, film_jpeg: bytes, film_dicom: bytes) -> None:
    key = str(uuid4())
    post(reader, ("chest.jpg", film_jpeg), headers=JSON, idempotency_key=key)
    answer = post(reader, ("other.dcm", film_dicom), headers=JSON, idempotency_key=key)
    assert answer.status_code == 409
    assert answer.json()["code"] == "IDEMPOTENCY_KEY_REUSED"


def test_the_same_film_again_is_accepted_and_linked(reader: Client, film_jpeg: bytes) -> None:
    first = post(reader, ("chest.jpg", film_jpeg), headers=JSON).json()
    answer = post(reader, ("again.jpg", film_jpeg), headers=JSON)
    assert answer.status_code == 201
    assert answer.json()["duplicate"]["url"] == first["url"]
    assert answer.json()["duplicate"]["message"].startswith("The same film was uploaded on")


def test_a_linked_film_says_which_version_read_it(reader: Client, film_jpeg: bytes) -> None:
    post(reader, ("chest.jpg", film_jpeg), headers=JSON)
    case = Case.objects.get()
    make_prediction(case)
    Case.objects.update(state="done", finished_at=case.created_at)
    message = post(reader, ("again.jpg", film_jpeg), headers=JSON).json()["duplicate"]["message"]
    assert "was analysed on" in message
    assert "with version 1.0.0" in message


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "EMPTY_FILE"),
        (b"only words", "UNSUPPORTED_FORMAT"),
        (b"<html><script>alert(1)</script></html>", "UNSUPPORTED_FORMAT"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "UNSUPPORTED_FORMAT"),
    ],
)
def test_what_is_no_film_is_refused_with_code_and_sentence(reader: Client, content: bytes, code: str) -> None:
    answer = post(reader, ("film.jpg", content), headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["code"] == code
    assert answer.json()["message"].endswith(".")
    assert not Case.objects.exists()


def test_a_file_that_is_too_large_gets_413(reader: Client, film_jpeg: bytes, settings: Settings) -> None:
    settings.UPLOAD_MAX_BYTES = len(film_jpeg) - 1
    answer = post(reader, ("film.jpg", film_jpeg), headers=JSON)
    assert answer.status_code == 413
    assert answer.json()["code"] == "TOO_LARGE"


@pytest.fixture
def _storage_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def be_down(*_: object) -> NoReturn:
        raise StorageUnavailableError("down")

    monkeypatch.setattr(storage, "save_film", be_down)


@pytest.mark.usefixtures("_storage_down")
def test_storage_that_is_down_gets_503_and_nothing_was_saved(reader: Client, film_jpeg: bytes) -> None:
    answer = post(reader, ("film.jpg", film_jpeg), headers=JSON)
    assert answer.status_code == 503
    assert "Nothing was saved" in answer.json()["message"]
    assert not Case.objects.exists()


@pytest.mark.usefixtures("_storage_down")
def test_the_plain_form_says_it_too(reader: Client, film_jpeg: bytes) -> None:
    answer = post(reader, ("film.jpg", film_jpeg))
    assert answer.status_code == 503
    assert "Nothing was saved" in answer.content.decode()


def test_the_plain_form_answers_every_file(reader: Client, film_jpeg: bytes, film_dicom: bytes) -> None:
    answer = post(reader, ("one.jpg", film_jpeg), ("two.dcm", film_dicom), ("notes.jpg", b"words"))
    text = answer.content.decode()
    assert answer.status_code == 422
    assert Case.objects.count() == 2
    assert [row.status for row in answer.context["answers"]] == [201, 201, 422]
    for words in ("one.jpg", "two.dcm", "notes.jpg", "Not accepted", "UNSUPPORTED_FORMAT"):
        assert words in text


def test_a_form_of_good_films_is_a_success(reader: Client, film_jpeg: bytes) -> None:
    assert post(reader, ("one.jpg", film_jpeg)).status_code == 200


def test_what_is_typed_is_filed_with_the_film(reader: Client, film_jpeg: bytes) -> None:
    details = {
        "record_number": "MRN-1", "name": "Okafor, Chidi", "birth_date": "2022-03-04", "sex": "M",
        "accession_number": "A-1", "clinical_note": "Fever.",
    }  # fmt: skip
    assert post(reader, ("one.jpg", film_jpeg), headers=JSON, **details).status_code == 201
    case = Case.objects.get()
    assert case.patient is not None
    assert (case.patient.record_number, case.patient.name, case.patient.sex) == ("MRN-1", "Okafor, Chidi", "M")
    assert (case.accession_number, case.clinical_note) == ("A-1", "Fever.")


def test_dicom_fills_what_was_not_typed(reader: Client, film_dicom: bytes) -> None:
    post(reader, ("one.dcm", film_dicom), headers=JSON)
    assert Case.objects.get().patient is not None


def test_a_wrong_patient_field_is_named(reader: Client, film_jpeg: bytes) -> None:
    answer = post(reader, ("one.jpg", film_jpeg), headers=JSON, name="Somebody", birth_date="2999-01-01")
    assert answer.status_code == 422
    assert answer.json()["code"] == "INVALID_FORM"
    assert set(answer.json()["errors"]) == {"record_number", "birth_date"}
    assert "Birth date:" in answer.json()["message"]
    assert not Case.objects.exists()


def test_a_wrong_field_in_the_plain_form_keeps_what_was_typed(reader: Client, film_jpeg: bytes) -> None:
    answer = post(reader, ("one.jpg", film_jpeg), name="Somebody", clinical_note="Keep me")
    assert answer.status_code == 422
    assert "Keep me" in answer.content.decode()
    assert "A patient is known by the record number" in answer.content.decode()


@pytest.mark.parametrize("headers", [JSON, {}])
def test_a_request_without_a_file_is_told_so(reader: Client, headers: dict[str, str]) -> None:
    answer = reader.post(UPLOAD, {}, headers=headers)
    assert answer.status_code == 422
    assert "Choose at least one film." in answer.content.decode()


def test_json_takes_one_file_at_a_time(reader: Client, film_jpeg: bytes) -> None:
    answer = post(reader, ("a.jpg", film_jpeg), ("b.jpg", film_jpeg), headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["code"] == "SEVERAL_FILES"
    assert not Case.objects.exists()


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd.jpg",
        "C:\\films\\chest.jpg",
        "x" * 300 + ".jpg",
        "film 😀.jpg",
        '<b onclick="x">.jpg',
        "a\u202egpj.exe",
    ],
)
def test_hostile_names_are_shown_as_text(reader: Client, film_jpeg: bytes, name: str) -> None:
    answer = post(reader, (name, film_jpeg), ("bad" + name, b"words"))
    text = answer.content.decode()
    assert answer.status_code == 422
    assert "<b onclick" not in text
    stored = Case.objects.get()
    assert len(stored.file_name) <= 255
    assert "/" not in stored.file_name
    assert "\\" not in stored.file_name
    assert stored.file_name in reader.get("/cases/").context["page"].cases[0].file_name


def test_the_page_tells_the_limit_and_works_without_scripts(reader: Client, settings: Settings) -> None:
    text = reader.get(UPLOAD).content.decode()
    assert 'enctype="multipart/form-data"' in text
    assert 'type="submit"' in text
    assert f'data-max-bytes="{settings.UPLOAD_MAX_BYTES}"' in text
    assert "multiple" in text
