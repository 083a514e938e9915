"""The API's contract: fields, codes and statuses that other programs rely on."""

import json
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from accounts.tokens import create_api_token, revoke_api_token
from diagnostics import storage
from diagnostics.exceptions import StorageUnavailableError
from diagnostics.models import Case, GateOverride
from diagnostics.services.reviews import record_review
from tests.corpus import ODD_NAMES, OK, REFUSED_AT_READING, Specimen, build_corpus
from tests.diagnostics.cases import make_case, make_prediction

CASES = "/api/v1/cases"


class Program:
    """A client with a user's bearer token."""

    def __init__(self, user: User) -> None:
        self.token, text = create_api_token(user=user)
        self.headers = {"Authorization": f"Bearer {text}"}
        self.client = Client(enforce_csrf_checks=True, raise_request_exception=False)

    def post(self, content: bytes | None, *, name: str = "film.jpg", key: str = "", **form: str) -> Any:
        files = {"file": SimpleUploadedFile(name, content)} if content is not None else {}
        headers = self.headers | ({"Idempotency-Key": key} if key else {})
        return self.client.post(CASES, {**files, **form}, headers=headers)

    def get(self, case_id: object) -> Any:
        return self.client.get(f"{CASES}/{case_id}", headers=self.headers)


@pytest.fixture
def program(doctor: User) -> Program:
    return Program(doctor)


def test_a_film_is_accepted_with_201(program: Program, film_jpeg: bytes) -> None:
    answer = program.post(film_jpeg)
    case = Case.objects.get()
    assert answer.status_code == 201
    assert answer.json() == {"id": str(case.pk), "state": "queued", "url": f"http://testserver/cases/{case.pk}/"}


def test_the_same_key_again_is_200_with_the_first_case(program: Program, film_jpeg: bytes) -> None:
    first, again = program.post(film_jpeg, key="k1"), program.post(film_jpeg, key="k1")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]


def test_the_same_key_for_another_film_is_409(program: Program, film_jpeg: bytes, film_dicom: bytes) -> None:
    program.post(film_jpeg, key="k1")
    answer = program.post(film_dicom, key="k1")
    assert (answer.status_code, answer.json()["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")


def test_a_patient_is_named_by_record_number(program: Program, film_jpeg: bytes) -> None:
    program.post(film_jpeg, patient_mrn=" MRN-7 ", patient_name="Alder, Ann", patient_sex="F", patient_birth_date="2022-03-01")
    patient = Case.objects.get().patient
    assert patient is not None
    assert (patient.record_number, patient.name, patient.sex, str(patient.birth_date)) == (
        "MRN-7",
        "Alder, Ann",
        "F",
        "2022-03-01",
    )


@pytest.mark.parametrize(
    "form",
    [
        {"patient_mrn": "x" * 65},
        {"patient_name": "Alder, Ann"},
        {"patient_birth_date": "yesterday"},
        {"patient_sex": "Q"},
        {"accession_number": "x" * 65},
    ],
)
def test_malformed_fields_are_named_and_nothing_is_stored(program: Program, film_jpeg: bytes, form: dict[str, str]) -> None:
    answer = program.post(film_jpeg, **form)
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_REQUEST")
    assert next(iter(form)).split("_")[0] in answer.json()["message"]
    assert not Case.objects.exists()


def test_a_request_without_a_file_is_422(program: Program) -> None:
    answer = program.post(None)
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_REQUEST")


def test_a_nul_character_in_a_field_is_422(program: Program, film_jpeg: bytes) -> None:
    answer = program.post(film_jpeg, patient_mrn="a\x00b")
    assert answer.status_code == 422


@pytest.mark.parametrize("specimen", build_corpus().values(), ids=str)
def test_no_file_however_bad_is_a_500(program: Program, specimen: Specimen) -> None:
    answer = program.post(specimen.data, name=specimen.file_name)
    body = answer.json()
    if specimen.expected in {OK, REFUSED_AT_READING}:
        assert answer.status_code == 201, body
    else:
        assert (answer.status_code, body["code"]) == (422, specimen.expected)
        assert body["message"]
        assert not Case.objects.exists()


@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES.keys())
def test_no_file_name_however_odd_is_a_500(program: Program, film_jpeg: bytes, name: str) -> None:
    raw = name.encode("utf-8", "surrogateescape").replace(b'"', b'\\"')
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="' + raw + b'"\r\n\r\n'
    body = head + film_jpeg + b"\r\n--x--\r\n"
    answer = program.client.generic("POST", CASES, body, "multipart/form-data; boundary=x", headers=program.headers)
    if answer.status_code == 201:
        assert 1 <= len(Case.objects.get().file_name) <= 255
    else:  # a name that breaks the request's head: another file arrives, or none
        assert answer.status_code in {400, 422}
        assert answer.json()["code"] in {"INVALID_REQUEST", "UNSUPPORTED_FORMAT"}


def test_a_file_over_the_limit_is_413(program: Program, film_jpeg: bytes, settings: Settings) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    answer = program.post(film_jpeg)
    assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")


def test_a_body_far_over_the_limit_is_413_before_it_is_read(program: Program, settings: Settings) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    answer = program.client.generic("POST", CASES, b"", headers=program.headers, CONTENT_LENGTH=str(80 * 1024 * 1024))
    assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")


@pytest.mark.parametrize("error", [StorageUnavailableError("disk full"), OperationalError("no connection")])
def test_with_storage_or_database_down_the_program_is_told_that_nothing_was_saved(
    program: Program, film_jpeg: bytes, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with mock.patch.object(storage, "save_film", side_effect=error):
        answer = program.post(film_jpeg)
    assert (answer.status_code, answer.json()["code"]) == (503, "STORAGE_UNAVAILABLE")
    assert "othing was saved" in answer.json()["message"]
    assert "disk full" not in answer.content.decode()
    assert type(error).__name__ in caplog.text
    assert str(error) not in caplog.text


def test_a_result_is_read_with_all_that_gives_it_meaning(program: Program, doctor: User) -> None:
    case = make_case(doctor, state="done")
    make_prediction(case, probability=0.93, threshold=0.4)
    body = program.get(case.pk).json()
    assert body["state"] == "done"
    assert body["prediction"]["label"] == "PNEUMONIA"
    assert (body["prediction"]["probability"], body["prediction"]["threshold"]) == (0.93, 0.4)
    assert body["prediction"]["model_version"] == "1.0.0"
    assert body["reviewed"] is False


def test_a_signed_review_ends_the_preliminary_state(program: Program, doctor: User) -> None:
    case = make_case(doctor, state="done")
    make_prediction(case)
    record_review(case=case, reviewer=doctor, verdict="agree", finding="PNEUMONIA", sign=False)
    assert program.get(case.pk).json()["reviewed"] is False
    record_review(case=case, reviewer=doctor, verdict="agree", finding="PNEUMONIA", sign=True)
    assert program.get(case.pk).json()["reviewed"] is True


def test_a_refusal_is_read_with_its_code_and_sentence(program: Program, doctor: User) -> None:
    body = program.get(make_case(doctor, state="refused", refusal_code="LATERAL_VIEW").pk).json()
    assert (body["state"], body["code"]) == ("refused", "LATERAL_VIEW")
    assert "lateral" in body["message"]


def test_another_hospitals_case_and_a_missing_one_look_the_same(program: Program, stranger: User) -> None:
    foreign, missing = program.get(make_case(stranger, state="done").pk), program.get(uuid4())
    assert foreign.status_code == missing.status_code == 404
    assert foreign.json() == missing.json()


def test_without_a_token_nothing_is_answered(program: Program, film_jpeg: bytes, doctor: User) -> None:
    program.headers = {}
    for answer in (program.post(film_jpeg), program.get(make_case(doctor).pk)):
        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_revoked_token_is_refused(program: Program, film_jpeg: bytes) -> None:
    revoke_api_token(token=program.token)
    assert program.post(film_jpeg).status_code == 401


def test_a_browser_session_does_not_open_the_api(client: Client, doctor: User) -> None:
    client.force_login(doctor)
    assert client.get(f"{CASES}/{make_case(doctor).pk}").status_code == 401


def test_an_operator_neither_uploads_nor_reads(operator: User, doctor: User, film_jpeg: bytes) -> None:
    program = Program(operator)
    assert program.post(film_jpeg).status_code == 403
    assert program.get(make_case(doctor).pk).status_code == 404


def test_the_description_lists_the_contract(client: Client) -> None:
    paths = json.loads(client.get("/api/v1/openapi.json").content)["paths"]
    assert set(paths) == {"/api/v1/cases", "/api/v1/cases/{case_id}"}


def test_flags_heat_and_overrides_are_told(program: Program, doctor: User, radiologist: User) -> None:
    case = make_case(doctor, state="done")
    make_prediction(case, flags=["OUT_OF_DISTRIBUTION"], heat_in_lung=0.7)
    GateOverride.objects.create(case=case, code="OUT_OF_DISTRIBUTION", reason="Seen well enough.", decided_by=radiologist)
    answer = program.get(case.pk).json()
    assert answer["flags"] == answer["prediction"]["flags"] == ["OUT_OF_DISTRIBUTION"]
    assert answer["prediction"]["heat_in_lung"] == 0.7
    (override,) = answer["overrides"]
    assert (override["code"], override["reason"]) == ("OUT_OF_DISTRIBUTION", "Seen well enough.")
    assert override["decided_by"] == str(radiologist)


def test_while_a_film_waits_to_be_read_again_its_earlier_result_is_not_its_result(program: Program, doctor: User) -> None:
    case = make_case(doctor, state="queued")
    make_prediction(case)
    assert program.get(case.pk).json()["prediction"] is None
