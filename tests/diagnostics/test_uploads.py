"""Accepting a film: gate, durable bytes, one row, a wake-up call."""

from datetime import date
from pathlib import Path
from unittest import mock

import pytest
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.db import OperationalError
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from accounts.models import User
from diagnostics import phantom, queue, storage
from diagnostics.exceptions import StorageUnavailableError, UploadRefusedError
from diagnostics.models import Case, Patient
from diagnostics.services.uploads import PatientData, accept_upload, clean_file_name
from tests.diagnostics.cases import upload


def test_an_accepted_film_is_stored_whole_and_queued(doctor: User, film_jpeg: bytes) -> None:
    accepted = upload(doctor, film_jpeg)
    case = Case.objects.get()
    assert accepted.created
    assert accepted.case == case
    assert (case.state, case.hospital, case.format, case.width, case.height) == ("queued", doctor.hospital, "JPEG", 900, 1024)
    assert storage.read_film(case.original_key, sha256=case.sha256) == film_jpeg


def test_the_storage_key_holds_nothing_of_the_file_name(doctor: User, film_jpeg: bytes) -> None:
    case = upload(doctor, film_jpeg, name="../../Müller Anna 1-1-2020.jpg").case
    assert case.original_key == f"cases/{case.pk}"
    assert case.file_name == "Müller Anna 1-1-2020.jpg"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("C:\\films\\a.jpg", "a.jpg"),
        ("/etc/passwd", "passwd"),
        ("x" * 300 + ".jpg", "x" * 255),
        ("🫁.png", "🫁.png"),
        ("gpj.\u202eevil.jpg", "gpj.evil.jpg"),
        ("a\x00\nb.jpg", "ab.jpg"),
        ("..", ".."),
        ("", "unnamed"),
        ("dir/", "unnamed"),
    ],
)
def test_a_file_name_is_kept_for_display_alone(given: str, shown: str) -> None:
    assert clean_file_name(given) == shown


def test_a_bad_file_leaves_no_row_and_no_object(doctor: User, tmp_path: Path) -> None:
    with pytest.raises(UploadRefusedError) as refused:
        upload(doctor, b"<html>not a film</html>")
    assert (refused.value.code, refused.value.status) == ("UNSUPPORTED_FORMAT", 422)
    assert not Case.objects.exists()
    assert not [path for path in (tmp_path / "media").rglob("*") if path.is_file()]


def test_a_file_over_the_limit_is_413(doctor: User, film_jpeg: bytes, settings: Settings) -> None:
    settings.UPLOAD_MAX_BYTES = len(film_jpeg) - 1
    with pytest.raises(UploadRefusedError) as refused:
        upload(doctor, film_jpeg)
    assert (refused.value.code, refused.value.status) == ("TOO_LARGE", 413)


def test_a_film_spooled_to_disk_is_read_like_one_in_memory(doctor: User, film_jpeg: bytes) -> None:
    spooled = TemporaryUploadedFile("film.jpg", "image/jpeg", len(film_jpeg), None)
    spooled.write(film_jpeg)
    spooled.seek(0)
    case = accept_upload(uploader=doctor, file=spooled).case
    assert storage.read_film(case.original_key, sha256=case.sha256) == film_jpeg


def test_the_same_key_returns_the_first_case(doctor: User, film_jpeg: bytes) -> None:
    first = upload(doctor, film_jpeg, idempotency_key="k1")
    again = upload(doctor, film_jpeg, idempotency_key="k1")
    assert (again.created, again.case) == (False, first.case)
    assert Case.objects.count() == 1


def test_a_key_reused_for_another_film_is_409(doctor: User, film_jpeg: bytes, film_dicom: bytes) -> None:
    upload(doctor, film_jpeg, idempotency_key="k1")
    with pytest.raises(UploadRefusedError) as refused:
        upload(doctor, film_dicom, idempotency_key="k1")
    assert (refused.value.code, refused.value.status) == ("IDEMPOTENCY_KEY_REUSED", 409)


def test_keys_of_two_users_do_not_meet(doctor: User, colleague: User, film_jpeg: bytes) -> None:
    assert upload(doctor, film_jpeg, idempotency_key="k1").case != upload(colleague, film_jpeg, idempotency_key="k1").case


def test_losing_the_race_for_a_key_returns_the_winner_and_leaves_no_object(
    doctor: User, film_jpeg: bytes, tmp_path: Path
) -> None:
    first = upload(doctor, film_jpeg, idempotency_key="k1").case
    seen = [None, first]  # not there at the first look, there after the unique key has refused ours
    with mock.patch("diagnostics.services.uploads._earlier_upload", side_effect=seen):
        again = upload(doctor, film_jpeg, idempotency_key="k1")
    assert (again.created, again.case) == (False, first)
    assert [path.name for path in (tmp_path / "media/cases").iterdir()] == [str(first.pk)]


def test_the_same_film_again_is_accepted_and_linked(doctor: User, film_jpeg: bytes) -> None:
    first, second = upload(doctor, film_jpeg).case, upload(doctor, film_jpeg).case
    assert second.duplicate_of == first
    assert first.duplicate_of is None


def test_another_hospitals_copy_is_not_linked(doctor: User, stranger: User, film_jpeg: bytes) -> None:
    upload(stranger, film_jpeg)
    assert upload(doctor, film_jpeg).case.duplicate_of is None


def test_dicom_tags_fill_what_the_doctor_left_empty(doctor: User, film_dicom: bytes) -> None:
    case = upload(doctor, film_dicom, name="film.dcm").case
    assert case.patient is not None
    assert case.patient.record_number == phantom.FilmTags().patient_id
    assert case.patient.birth_date == date(2022, 3, 14)
    assert case.accession_number == phantom.FilmTags().accession_number
    assert case.study_instance_uid.startswith("2.25.")
    assert not case.names_another_patient


def test_what_the_doctor_wrote_wins_and_a_contradiction_is_marked(doctor: User, film_dicom: bytes) -> None:
    case = upload(doctor, film_dicom, patient=PatientData("MRN-7"), accession_number="A-9").case
    assert case.patient is not None
    assert (case.patient.record_number, case.accession_number) == ("MRN-7", "A-9")
    assert case.names_another_patient


def test_what_is_known_of_a_patient_is_completed_but_never_overwritten(doctor: User, film_jpeg: bytes) -> None:
    Patient.objects.create(hospital=doctor.hospital, record_number="MRN-7", name="Ann Alder")
    upload(doctor, film_jpeg, patient=PatientData("MRN-7", "Somebody Else", date(2022, 1, 2), "F"))
    patient = Patient.objects.get()
    assert (patient.name, patient.birth_date, patient.sex) == ("Ann Alder", date(2022, 1, 2), "F")


def test_record_numbers_of_two_hospitals_are_two_patients(doctor: User, stranger: User, film_jpeg: bytes) -> None:
    upload(doctor, film_jpeg, patient=PatientData("MRN-7"))
    upload(stranger, film_jpeg, patient=PatientData("MRN-7"))
    assert Patient.objects.count() == 2


def test_with_storage_down_nothing_is_saved(doctor: User, film_jpeg: bytes, tmp_path: Path) -> None:
    (tmp_path / "media").write_text("a file where the directory should be")
    with pytest.raises(StorageUnavailableError):
        upload(doctor, film_jpeg)
    assert not Case.objects.exists()


def test_after_a_lost_commit_the_bytes_stay(doctor: User, film_jpeg: bytes, tmp_path: Path) -> None:
    with (
        mock.patch.object(Case, "save", side_effect=OperationalError("server closed the connection")),
        pytest.raises(OperationalError),
    ):
        upload(doctor, film_jpeg)
    assert len(list((tmp_path / "media/cases").iterdir())) == 1


def test_redis_is_rung_after_the_commit_and_may_be_down(
    doctor: User, film_jpeg: bytes, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with mock.patch.object(queue, "ring", return_value=False) as ring:
        with django_capture_on_commit_callbacks(execute=False) as callbacks:
            case = upload(doctor, film_jpeg).case
        ring.assert_not_called()
        callbacks[0]()
    ring.assert_called_once_with(case.pk)
    assert Case.objects.get().state == "queued"


def test_a_redis_that_is_down_is_asked_once_and_then_left_alone(doctor: User, settings: Settings) -> None:
    settings.REDIS = {"unix_socket_path": "/nonexistent/redis.sock"}
    queue.web_connection.cache_clear()
    queue._breaker.reset()
    case_id = Case().pk
    assert not queue.ring(case_id)
    with mock.patch.object(queue, "web_connection") as connection:
        assert not queue.ring(case_id)
    connection.assert_not_called()
    queue._breaker.reset()
    queue.web_connection.cache_clear()
