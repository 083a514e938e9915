"""From a posted file to an accepted case: gate, durable bytes, one committed row, a wake-up call."""

import mmap
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from uuid import UUID, uuid4

from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile
from django.db import IntegrityError, transaction

from accounts.audit import Action
from accounts.models import User
from diagnostics import queue, storage
from diagnostics.exceptions import UploadRefusedError
from diagnostics.models import Case, Patient
from diagnostics.monitoring.instruments import REFUSALS
from diagnostics.services.quota import check_quota
from diagnostics.services.trail import record_case
from mlmodel import api

FILE_NAME_MAX = 255  # characters kept of the user's file name
TOO_LARGE, KEY_REUSED = "TOO_LARGE", "IDEMPOTENCY_KEY_REUSED"
KEY_REUSED_MESSAGE = "This idempotency key was used for another file. Send a new key with a new file."


@dataclass(frozen=True, slots=True)
class PatientData:
    """What the uploader says of the patient. `record_number` is required; sex is F, M, O or empty."""

    record_number: str
    name: str = ""
    birth_date: date | None = None
    sex: str = ""


@dataclass(frozen=True, slots=True)
class AcceptedUpload:
    """The case that holds the film, and whether this call made it (else an earlier one with the same key did)."""

    case: Case
    created: bool


@contextmanager
def _counting_refusals() -> Iterator[None]:
    try:
        yield
    except UploadRefusedError as error:
        REFUSALS.labels("upload", error.code).inc()
        raise


@_counting_refusals()
def accept_upload(
    *,
    uploader: User,
    file: UploadedFile,
    patient: PatientData | None = None,
    accession_number: str = "",
    clinical_note: str = "",
    idempotency_key: str = "",
    limited: bool = True,
) -> AcceptedUpload:
    """Judge the file, make it durable, commit the row as queued, and ring for a worker. Redis is never asked.

    `limited`: within the user's quota; the demo's own films are nobody's flood.

    Raises `UploadRefusedError` (nothing is stored) and `StorageUnavailableError` (nothing was saved). After any other database
    error the bytes stay: a commit whose answer was lost may have happened, and an orphan harms nobody.
    """
    info = inspect_upload(file)
    sha256 = storage.hash_file(file)
    if idempotency_key and (earlier := _earlier_upload(uploader, idempotency_key, sha256)):
        return AcceptedUpload(earlier, created=False)
    if limited:
        check_quota(uploader=uploader, size=file.size or 0)
    case_id = uuid4()
    storage.save_film(storage.original_key(case_id), file)
    try:
        with transaction.atomic():
            case = _create_case(case_id, uploader, file, info, sha256, patient, idempotency_key)
            _fill_in(case, info, accession_number, clinical_note)
            case.save(force_insert=True)
            queue.wake_worker(case.pk)
            record_case(Action.UPLOADED, case=case, actor=uploader, details={"format": str(case.format)})
    except IntegrityError:
        storage.delete_quietly(storage.original_key(case_id))
        earlier = _earlier_upload(uploader, idempotency_key, sha256) if idempotency_key else None
        if earlier is None:
            raise
        return AcceptedUpload(earlier, created=False)
    return AcceptedUpload(case, created=True)


def inspect_upload(file: UploadedFile) -> api.ImageInfo:
    """The gate: size and headers, by content and never by name. Raises `UploadRefusedError`."""
    if (file.size or 0) > settings.UPLOAD_MAX_BYTES:
        limit = settings.UPLOAD_MAX_BYTES // (1024 * 1024)
        raise UploadRefusedError(TOO_LARGE, f"The file is larger than {limit} MB, the most this portal accepts.", status=413)
    try:
        with _bytes_of(file) as content:
            return api.inspect(content)
    except api.RejectedImageError as error:
        raise UploadRefusedError(error.code, error.message) from error


@contextmanager
def _bytes_of(file: UploadedFile) -> Iterator[api.ImageBytes]:
    """The upload as bytes; a large one is mapped from its temporary file instead of read."""
    if isinstance(file, TemporaryUploadedFile) and file.size:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped
    else:
        file.seek(0)
        yield file.read()


def _earlier_upload(uploader: User, key: str, sha256: str) -> Case | None:
    case = Case.objects.filter(uploader=uploader, idempotency_key=key).first()
    if case is not None and case.sha256 != sha256:
        raise UploadRefusedError(KEY_REUSED, KEY_REUSED_MESSAGE, status=409)
    return case


def _create_case(
    case_id: UUID,
    uploader: User,
    file: UploadedFile,
    info: api.ImageInfo,
    sha256: str,
    patient: PatientData | None,
    idempotency_key: str,
) -> Case:
    return Case(
        id=case_id,
        hospital=uploader.hospital,
        uploader=uploader,
        patient=_patient_of(uploader, patient, info.dicom),
        file_name=clean_file_name(file.name or ""),
        original_key=storage.original_key(case_id),
        sha256=sha256,
        format=info.format,
        size_bytes=info.size_bytes,
        width=info.width,
        height=info.height,
        bits=info.bits,
        idempotency_key=idempotency_key,
    )


def _fill_in(case: Case, info: api.ImageInfo, accession_number: str, clinical_note: str) -> None:
    """What the doctor wrote wins; a DICOM file's tags fill what was left empty. An earlier copy of the film is linked."""
    tags = info.dicom or api.DicomFacts()
    case.accession_number = accession_number or tags.accession_number
    case.study_instance_uid, case.sop_instance_uid = tags.study_instance_uid, tags.sop_instance_uid
    case.dicom_patient_id, case.clinical_note = tags.patient_id, clinical_note
    case.duplicate_of = Case.objects.same_film(case).order_by("created_at").first()


def _patient_of(uploader: User, given: PatientData | None, tags: api.DicomFacts | None) -> Patient | None:
    """The hospital's patient of that record number, made when new; what is known of a patient is never overwritten."""
    if given is None and tags is not None and tags.patient_id:
        given = PatientData(tags.patient_id, tags.patient_name, _parse_date(tags.patient_birth_date), tags.patient_sex)
    if given is None:
        return None
    patient, created = Patient.objects.get_or_create(
        hospital=uploader.hospital,
        record_number=given.record_number,
        defaults={"name": given.name, "birth_date": given.birth_date, "sex": given.sex},
    )
    if not created:
        _complete(patient, given)
    return patient


def _complete(patient: Patient, given: PatientData) -> None:
    missing = [name for name in ("name", "birth_date", "sex") if getattr(given, name) and not getattr(patient, name)]
    for name in missing:
        setattr(patient, name, getattr(given, name))
    if missing:
        patient.save(update_fields=missing)


def _parse_date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def clean_file_name(name: str) -> str:
    """For display only: the last path part, without control and direction-changing characters, cut to fit."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(char for char in last if unicodedata.category(char)[0] != "C")
    return printable.strip()[:FILE_NAME_MAX] or "unnamed"


__all__ = ["AcceptedUpload", "PatientData", "accept_upload", "clean_file_name", "inspect_upload"]
