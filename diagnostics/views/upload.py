"""The upload page, and the answer to each file."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from accounts.models import User
from accounts.permissions import may_upload, requires
from diagnostics import wording
from diagnostics.exceptions import StorageUnavailableError, UploadRefusedError
from diagnostics.forms import UploadForm
from diagnostics.models import Case
from diagnostics.services.uploads import accept_upload
from diagnostics.services.versions import suspended_since

STORAGE_DOWN = "The storage of films does not answer. Nothing was saved; try again in a minute."
ONE_AT_A_TIME = "Send one file per request."
INVALID_FORM, STORAGE_UNAVAILABLE, SEVERAL_FILES = "INVALID_FORM", "STORAGE_UNAVAILABLE", "SEVERAL_FILES"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one file: a case, or a code with its sentence and nothing saved."""

    file_name: str
    status: int
    code: str = ""
    message: str = ""
    case: Case | None = None
    retry_after: int | None = None

    @property
    def duplicate(self) -> str:
        earlier = self.case.duplicate_of if self.case else None
        return wording.describe_duplicate(earlier) if earlier else ""


@require_http_methods(["GET", "HEAD", "POST"])
@requires(may_upload)
def upload(request: HttpRequest) -> HttpResponseBase:
    """The page; a plain form post of many files; or, for `Accept: application/json`, one file and its answer."""
    if request.method != "POST":
        return _page(request, UploadForm())
    form = UploadForm(request.POST, request.FILES)
    as_json = request.accepts("application/json") and not request.accepts("text/html")
    if not form.is_valid():
        return _refuse_form(form) if as_json else _page(request, form, status=422)
    files = form.cleaned_data["file"]
    if as_json:
        return _answer_json(_accept(request, form, files[0])) if len(files) == 1 else _refuse_several()
    answers = [_accept(request, form, file) for file in files]
    return _page(request, UploadForm(), answers=answers, status=max(answer.status for answer in answers))


def _accept(request: HttpRequest, form: UploadForm, file: UploadedFile) -> Answer:
    assert isinstance(request.user, User)  # noqa: S101 - `requires` has asked
    name = file.name or ""
    data = form.cleaned_data
    try:
        accepted = accept_upload(
            uploader=request.user,
            file=file,
            patient=form.patient(),
            accession_number=data["accession_number"],
            clinical_note=data["clinical_note"],
            idempotency_key=data["idempotency_key"] or request.headers.get("Idempotency-Key", "")[:64],
        )
    except UploadRefusedError as error:
        return Answer(name, error.status, error.code, error.message, retry_after=error.retry_after)
    except StorageUnavailableError:
        return Answer(name, 503, STORAGE_UNAVAILABLE, STORAGE_DOWN)
    return Answer(name, 201 if accepted.created else 200, case=accepted.case)


def _answer_json(answer: Answer) -> JsonResponse:
    if answer.case is None:
        headers = {"Retry-After": str(answer.retry_after)} if answer.retry_after else {}
        return JsonResponse({"code": answer.code, "message": answer.message}, status=answer.status, headers=headers)
    body = {
        "id": str(answer.case.pk),
        "state": answer.case.state,
        "url": answer.case.get_absolute_url(),
        "status_url": f"{answer.case.get_absolute_url()}status/",
        "duplicate": _duplicate_link(answer),
    }
    return JsonResponse(body, status=answer.status)


def _duplicate_link(answer: Answer) -> dict[str, str] | None:
    earlier = answer.case.duplicate_of if answer.case else None
    return {"message": answer.duplicate, "url": earlier.get_absolute_url()} if earlier else None


def _refuse_form(form: UploadForm) -> JsonResponse:
    """Every field's complaint in one sentence, and by field for the page to mark."""
    errors = {name: [str(error) for error in messages] for name, messages in form.errors.items()}
    labelled = [
        f"{form.fields[name].label or name}: {' '.join(messages)}" if name in form.fields else " ".join(messages)
        for name, messages in errors.items()
    ]
    return JsonResponse({"code": INVALID_FORM, "message": " ".join(labelled), "errors": errors}, status=422)


def _refuse_several() -> JsonResponse:
    return JsonResponse({"code": SEVERAL_FILES, "message": ONE_AT_A_TIME}, status=422)


def _page(request: HttpRequest, form: UploadForm, *, answers: list[Answer] | None = None, status: int = 200) -> HttpResponse:
    context: dict[str, Any] = {
        "form": form,
        "answers": answers,
        "suspended_since": suspended_since(),
        "max_bytes": settings.UPLOAD_MAX_BYTES,
        "max_megabytes": settings.UPLOAD_MAX_BYTES // (1024 * 1024),
    }
    return render(request, "diagnostics/upload.html", context, status=200 if status == 201 else status)
