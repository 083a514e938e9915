"""The only way to a film's bytes: through the permission, never by an address of the storage."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from uuid import UUID

from django.conf import settings
from django.core.files.base import File
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from accounts.audit import Action
from accounts.models import User
from accounts.permissions import requires, sees_cases
from accounts.sessions import passive
from diagnostics import storage
from diagnostics.exceptions import StorageUnavailableError, StoredFilmDamagedError
from diagnostics.models import Case
from diagnostics.services.trail import record_case
from diagnostics.views.fetch import get_visible_or_404

# By what the gate found in the bytes; the type that the browser declared at upload is never repeated.
CONTENT_TYPES = {Case.Format.JPEG: "image/jpeg", Case.Format.PNG: "image/png", Case.Format.DICOM: "application/dicom"}
SUFFIXES = {Case.Format.JPEG: ".jpg", Case.Format.PNG: ".png", Case.Format.DICOM: ".dcm"}
NEVER_KEPT = "private, no-store"
RETRY_SECONDS = "30"


@dataclass(frozen=True, slots=True)
class Picture:
    """Which object of the storage is served, as what, and how the audit log calls it."""

    key: str
    content_type: str
    action: Action
    kind: str


@require_safe
@requires(sees_cases)
def original(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """The file as it was uploaded, byte for byte, to be saved and not opened."""
    case: Case = get_visible_or_404(request, Case.objects.readable_by(request.user), pk)
    if case.purged_at:
        return _gone(request, case)
    picture = Picture(case.original_key, CONTENT_TYPES[Case.Format(case.format)], Action.DOWNLOADED, "original")
    return _serve(request, case, picture, name=_download_name(case))


@passive
@require_safe
@requires(sees_cases)
def display(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """The film as a browser shows it."""
    case: Case = get_visible_or_404(request, Case.objects.readable_by(request.user), pk)
    if case.purged_at:
        return _gone(request, case)
    if case.display != Case.Display.READY:
        raise Http404
    return _serve(request, case, Picture(storage.display_key(case.pk), "image/png", Action.IMAGE_READ, "display"))


@passive
@require_safe
@requires(sees_cases)
def heatmap(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Where the model looked: a picture, transparent where there is nothing, to lay over the whole film."""
    case: Case = get_visible_or_404(request, Case.objects.readable_by(request.user).with_result(), pk)
    if case.purged_at:
        return _gone(request, case)
    prediction = case.result
    if prediction is None or not prediction.heatmap_key:
        raise Http404
    return _serve(request, case, Picture(prediction.heatmap_key, "image/png", Action.IMAGE_READ, "heatmap"))


def _gone(request: HttpRequest, case: Case) -> HttpResponse:
    return render(request, "410.html", {"case": case}, status=410)


def _serve(request: HttpRequest, case: Case, picture: Picture, *, name: str = "") -> HttpResponseBase:
    """The bytes, once the audit log holds who gets them."""
    assert isinstance(request.user, User)  # noqa: S101 - `requires` has asked
    try:
        film = storage.open_film(picture.key)
    except StoredFilmDamagedError as error:
        raise Http404 from error
    except StorageUnavailableError:
        return HttpResponse(
            "The storage of films does not answer. Try again in a minute.",
            content_type="text/plain",
            status=503,
            headers={"Retry-After": RETRY_SECONDS},
        )
    record_case(picture.action, case=case, actor=request.user, details={"picture": picture.kind})
    response = _hand_over(film, picture, name)
    response["Cache-Control"] = NEVER_KEPT
    response["X-Content-Type-Options"] = "nosniff"
    response["Vary"] = "Cookie"
    return response


def _hand_over(film: File, picture: Picture, name: str) -> HttpResponseBase:
    """The bytes, or word to the proxy which of the local files it shall send: it keeps no process of ours waiting."""
    if not settings.LOCAL_FILMS_BY_PROXY:
        return FileResponse(film, as_attachment=bool(name), filename=name, content_type=picture.content_type)
    film.close()
    response = HttpResponse(content_type=picture.content_type)
    response["X-Accel-Redirect"] = f"{settings.LOCAL_FILMS_BY_PROXY}{picture.key}"
    if name:
        response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name)
    return response


def _download_name(case: Case) -> str:
    """The user's name for the file, with an ending that fits what the file is."""
    suffix = SUFFIXES[Case.Format(case.format)]
    known = {".jpeg", ".dicom", suffix}
    return case.file_name if PurePosixPath(case.file_name).suffix.lower() in known else f"{case.file_name}{suffix}"
