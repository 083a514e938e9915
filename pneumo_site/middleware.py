"""What every response and every request passes."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import render

GetResponse = Callable[[HttpRequest], HttpResponseBase]

FORM_ALLOWANCE = 1024 * 1024  # bytes of a multipart request that are not the file
UNAVAILABLE_MESSAGE = "The server's disk does not take the film. Nothing was saved; please send it again later."
TOO_LARGE_MESSAGE = "The upload is larger than {limit} MB, the most this portal accepts."


def private_responses(get_response: GetResponse) -> GetResponse:
    """Nothing that a log-in protects is kept by a browser or proxy, and no window of another origin reaches ours."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        if not request.path.startswith(settings.STATIC_URL):
            response.headers.setdefault("Cache-Control", "private, no-store")
        return response

    return middleware


def guard_uploads(get_response: GetResponse) -> GetResponse:
    """413 before a body that is too large is read, and 503 for one that the disk did not take.

    A plain form may carry several films, each within the limit.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if content_length(request) > settings.UPLOAD_MAX_BYTES * files_allowed(request) + FORM_ALLOWANCE:
            return too_large(request)
        response = get_response(request)
        return unavailable(request) if getattr(request, "spool_failed", False) else response

    return middleware


def files_allowed(request: HttpRequest) -> int:
    """Only the upload form takes several films at once; a program sends one."""
    return settings.UPLOAD_MAX_FILES if request.path == "/cases/upload/" and not wants_json(request) else 1


def content_length(request: HttpRequest) -> int:
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0


def wants_json(request: HttpRequest) -> bool:
    return request.path.startswith("/api/") or "application/json" in request.headers.get("Accept", "")


def too_large(request: HttpRequest) -> HttpResponseBase:
    return answer(request, 413, "TOO_LARGE", TOO_LARGE_MESSAGE.format(limit=settings.UPLOAD_MAX_BYTES // (1024 * 1024)))


def unavailable(request: HttpRequest) -> HttpResponseBase:
    return answer(request, 503, "STORAGE_UNAVAILABLE", UNAVAILABLE_MESSAGE)


def answer(request: HttpRequest, status: int, code: str, message: str) -> HttpResponseBase:
    """A coded answer for programs and scripts, a page for people."""
    if wants_json(request):
        return JsonResponse({"code": code, "message": message}, status=status)
    return render(request, f"{status}.html", {"message": message}, status=status)
