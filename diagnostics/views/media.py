"""The only way to a film's bytes: through the permission, never by an address of the storage."""

from pathlib import PurePosixPath
from uuid import UUID

from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from accounts.permissions import requires, sees_cases
from accounts.sessions import passive
from diagnostics import storage
from diagnostics.exceptions import StorageUnavailableError, StoredFilmDamagedError
from diagnostics.models import Case

# By what the gate found in the bytes; the type that the browser declared at upload is never repeated.
CONTENT_TYPES = {Case.Format.JPEG: "image/jpeg", Case.Format.PNG: "image/png", Case.Format.DICOM: "application/dicom"}
SUFFIXES = {Case.Format.JPEG: ".jpg", Case.Format.PNG: ".png", Case.Format.DICOM: ".dcm"}
PRIVATE, NEVER_KEPT = "private, max-age=300", "private, no-store"
RETRY_SECONDS = "30"


@require_safe
@requires(sees_cases)
def original(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """The file as it was uploaded, byte for byte, to be saved and not opened."""
    case = get_object_or_404(Case.objects.readable_by(request.user), pk=pk)
    return _serve(case.original_key, CONTENT_TYPES[Case.Format(case.format)], cache=NEVER_KEPT, name=_download_name(case))


@passive
@require_safe
@requires(sees_cases)
def display(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """The film as a browser shows it."""
    case = get_object_or_404(Case.objects.readable_by(request.user), pk=pk)
    if case.display != Case.Display.READY:
        raise Http404
    return _serve(storage.display_key(case.pk), "image/png", cache=PRIVATE)


@passive
@require_safe
@requires(sees_cases)
def heatmap(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Where the model looked: an RGBA picture to lay over the whole film."""
    case = get_object_or_404(Case.objects.readable_by(request.user).with_result(), pk=pk)
    prediction = case.result
    if prediction is None or not prediction.heatmap_key:
        raise Http404
    return _serve(prediction.heatmap_key, "image/png", cache=PRIVATE)


def _serve(key: str, content_type: str, *, cache: str, name: str = "") -> HttpResponseBase:
    try:
        film = storage.open_film(key)
    except StoredFilmDamagedError as error:
        raise Http404 from error
    except StorageUnavailableError:
        return HttpResponse(
            "The storage of films does not answer. Try again in a minute.",
            content_type="text/plain",
            status=503,
            headers={"Retry-After": RETRY_SECONDS},
        )
    response = FileResponse(film, as_attachment=bool(name), filename=name, content_type=content_type)
    response["Cache-Control"] = cache
    response["X-Content-Type-Options"] = "nosniff"
    response["Vary"] = "Cookie"
    return response


def _download_name(case: Case) -> str:
    """The user's name for the file, with an ending that fits what the file is."""
    suffix = SUFFIXES[Case.Format(case.format)]
    known = {".jpeg", ".dicom", suffix}
    return case.file_name if PurePosixPath(case.file_name).suffix.lower() in known else f"{case.file_name}{suffix}"
