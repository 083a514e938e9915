"""The portal's API for other programs. Bearer tokens stand for a user; answers are coded, never an exception's text."""

import logging
import unicodedata
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.multipartparser import MultiPartParserError
from ninja import Field, File, Form, Header, NinjaAPI, Schema, Status, UploadedFile
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.security import HttpBearer
from pydantic import AfterValidator

from accounts.lockout import too_many_tokens
from accounts.models import Scope, User
from accounts.permissions import may_upload, record_denial
from accounts.second_factor import MISSING, lacks_second_factor
from accounts.tokens import find_api_token, record_invalid_token, record_refused_token
from diagnostics.codes import sentence
from diagnostics.exceptions import StorageUnavailableError, UploadRefusedError
from diagnostics.models import Case, GateOverride
from diagnostics.services.uploads import PatientData, accept_upload
from diagnostics.services.versions import suspended_since, withdrawal_of
from diagnostics.services.viewing import note_read_by_program
from diagnostics.wording import signed_review

STORAGE_DOWN = ("STORAGE_UNAVAILABLE", "The storage of films does not answer. Nothing was saved; please send the film again.")
TOO_MANY_GUESSES = "Too many invalid tokens came from this address. Wait a minute, then send a valid one."
NOT_FOUND = ("NOT_FOUND", "There is no such case.")

logger = logging.getLogger(__name__)


class Token(HttpBearer):
    """`Authorization: Bearer …`, as printed by `manage.py create_api_token`, with the scope that the operation asks for."""

    openapi_description = (
        "A token stands for a user and carries scopes: `cases:write` uploads, `cases:read` reads. "
        "Where one is missing: 403 FORBIDDEN."
    )

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self.scope = scope

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        found = find_api_token(token=token)
        if found is None:
            record_invalid_token(request, token=token)
            if too_many_tokens(request):
                raise HttpError(429, TOO_MANY_GUESSES)
            return None
        if lacks_second_factor(found.user):
            record_refused_token(request, token=found, by=found.user, missing="second factor")
            raise HttpError(403, MISSING[1])
        if not found.allows(self.scope):
            record_refused_token(request, token=found, by=found.user, scope=self.scope.value)
            raise HttpError(403, f"This token lacks the scope {self.scope}.")
        return found.user


class AcceptedSchema(Schema):
    id: UUID
    state: str
    url: str


class ErrorSchema(Schema):
    code: str
    message: str


class PredictionSchema(Schema):
    label: str
    probability: float
    threshold: float
    model_version: str
    created_at: datetime
    flags: list[str] = Field([], description="Codes that warn of the film without refusing it.")
    heat_in_lung: float | None = Field(None, description="Share of the heat inside the lung field, 0 to 1, where it is known.")


class OverrideSchema(Schema):
    code: str
    reason: str
    decided_by: str
    created_at: datetime


class CaseSchema(AcceptedSchema):
    file_name: str
    format: str
    sha256: str
    created_at: datetime
    finished_at: datetime | None
    code: str = Field("", description="Why the film was refused or its analysis failed; empty otherwise.")
    message: str = Field("", description="The same in a sentence.")
    prediction: PredictionSchema | None = None
    flags: list[str] = Field([], description="The prediction's flags; empty where there is none.")
    overrides: list[OverrideSchema] = Field([], description="Refusals that a radiologist has set aside, the latest first.")
    duplicate_of: UUID | None = None
    suspended_since: datetime | None = Field(
        None, description="Since when the film waits for a version to be in service; null while one is, or once it is read."
    )
    version_withdrawn_at: datetime | None = Field(
        None,
        description="When the version that made the prediction was taken out of service by the stop rule; do not rely on it.",
    )
    film_removed_at: datetime | None = Field(None, description="When the retention time was over and the film's bytes went.")
    reviewed: bool = Field(False, description="A clinician has signed a verdict on this result; until then it is preliminary.")


def _without_control_characters(text: str) -> str:
    if any(unicodedata.category(char) == "Cc" and char not in "\n\r\t" for char in text):
        raise ValueError("control characters")
    return text.strip()


Text = Annotated[str, AfterValidator(_without_control_characters)]


class UploadForm(Schema):
    patient_mrn: Annotated[Text, Field(max_length=64, description="Medical record number.")] = ""
    patient_name: Annotated[Text, Field(max_length=200)] = ""
    patient_birth_date: date | None = None
    patient_sex: Annotated[str, Field(pattern="^[FMO]?$")] = ""
    accession_number: Annotated[Text, Field(max_length=64)] = ""
    clinical_note: Annotated[Text, Field(max_length=2000)] = ""


api = NinjaAPI(title="Chest X-ray portal", version="1", docs_url=None, urls_namespace="api")


@api.post(
    "/cases",
    auth=Token(Scope.WRITE),
    response={201: AcceptedSchema, 200: AcceptedSchema, frozenset({401, 403, 409, 413, 422, 429, 503}): ErrorSchema},
)
def create_case(
    request: HttpRequest,
    file: File[UploadedFile],
    form: Form[UploadForm],
    idempotency_key: Annotated[str, Header(max_length=64, alias="Idempotency-Key")] = "",
) -> Status[dict[str, Any]]:
    """Upload one film (JPEG, PNG or DICOM); scope `cases:write`.

    201: accepted and durable. 200: the same key and film were accepted before.
    """
    uploader = _uploader(request)
    accepted = accept_upload(
        uploader=uploader,
        file=file,
        patient=_patient(form),
        accession_number=form.accession_number,
        clinical_note=form.clinical_note,
        idempotency_key=idempotency_key,
    )
    return Status(201 if accepted.created else 200, _accepted(request, accepted.case))


@api.get("/cases/{case_id}", auth=Token(Scope.READ), response={200: CaseSchema, frozenset({401, 403, 404, 429}): ErrorSchema})
def read_case(request: HttpRequest, case_id: UUID) -> dict[str, Any]:
    """State and result of one case of the user's hospital; scope `cases:read`."""
    user = _user(request)
    visible = Case.objects.visible_to(user).with_result().prefetch_related("overrides__decided_by")
    case = visible.filter(pk=case_id).first()
    if case is None:
        if Case.objects.filter(pk=case_id).exists():
            record_denial(request, user=user, object_type="case", object_id=case_id)
        raise HttpError(404, NOT_FOUND[1])
    note_read_by_program(case=case, reader=user)
    code = case.refusal_code or case.failure_code
    return {
        **_accepted(request, case),
        **{name: getattr(case, name) for name in ("file_name", "format", "sha256", "created_at", "finished_at")},
        "code": code,
        "message": sentence(code) if code else "",
        "prediction": case.result,
        "flags": case.result.flags if case.result else [],
        "overrides": [_override(override) for override in case.overrides.all()],
        "duplicate_of": case.duplicate_of_id,
        "suspended_since": suspended_since() if case.state == Case.State.QUEUED else None,
        "version_withdrawn_at": withdrawal_of(case.result) if case.result else None,
        "film_removed_at": case.purged_at,
        "reviewed": signed_review(case) is not None,
    }


def _override(override: GateOverride) -> dict[str, Any]:
    return {
        "code": override.code,
        "reason": override.reason,
        "decided_by": str(override.decided_by),
        "created_at": override.created_at,
    }


def _user(request: HttpRequest) -> User:
    user: User = request.auth  # type: ignore[attr-defined]
    return user


def _uploader(request: HttpRequest) -> User:
    user = _user(request)
    if not may_upload(user):
        record_denial(request, user=user)
        raise HttpError(403, "This user's role does not upload films.")
    return user


def _patient(form: UploadForm) -> PatientData | None:
    if not form.patient_mrn:
        if form.patient_name or form.patient_birth_date or form.patient_sex:
            raise HttpError(422, "Missing or malformed: patient_mrn. A patient is known by the record number.")
        return None
    return PatientData(form.patient_mrn, form.patient_name, form.patient_birth_date, form.patient_sex)


def _accepted(request: HttpRequest, case: Case) -> dict[str, Any]:
    return {"id": case.pk, "state": case.state, "url": request.build_absolute_uri(case.get_absolute_url())}


def _error(status: int, code: str, message: str) -> HttpResponse:
    return JsonResponse({"code": code, "message": message}, status=status)


@api.exception_handler(UploadRefusedError)
def answer_refused(_request: HttpRequest, error: UploadRefusedError) -> HttpResponse:
    response = _error(error.status, error.code, error.message)
    if error.retry_after:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


@api.exception_handler(StorageUnavailableError)
@api.exception_handler(DatabaseError)
def answer_unavailable(_request: HttpRequest, error: Exception) -> HttpResponse:
    # The kind alone: a database quotes the row that it refuses, and a patient's name may be in it.
    logger.error("a request was answered with 503: %s", type(error.__cause__ or error).__name__)
    return _error(503, *STORAGE_DOWN)


@api.exception_handler(ValidationError)
def answer_invalid(_request: HttpRequest, error: ValidationError) -> HttpResponse:
    fields = sorted({str(item["loc"][-1]) for item in error.errors if item.get("loc")})
    return _error(422, "INVALID_REQUEST", f"Missing or malformed: {', '.join(fields) or 'the request'}.")


@api.exception_handler(MultiPartParserError)
@api.exception_handler(SuspiciousOperation)
def answer_malformed(_request: HttpRequest, _error_: Exception) -> HttpResponse:
    return _error(400, "INVALID_REQUEST", "The request is not well-formed multipart/form-data.")


@api.exception_handler(AuthenticationError)
def answer_unauthenticated(_request: HttpRequest, _error_: AuthenticationError) -> HttpResponse:
    response = _error(401, "UNAUTHENTICATED", "A valid bearer token is needed.")
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


@api.exception_handler(HttpError)
def answer_http_error(_request: HttpRequest, error: HttpError) -> HttpResponse:
    codes = {403: "FORBIDDEN", 404: "NOT_FOUND", 429: "TOO_MANY_ATTEMPTS"}
    return _error(error.status_code, codes.get(error.status_code, "INVALID_REQUEST"), error.message)


# The session's log-in does not apply here: the token does. Each reading of `api.urls` makes new views, so it is read once.
urls = api.urls
for _pattern in urls[0]:
    if _pattern.callback is not None:
        login_not_required(_pattern.callback)
