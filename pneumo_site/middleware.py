"""What every response and every request passes."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import render

GetResponse = Callable[[HttpRequest], HttpResponseBase]

FEATURES_OFF = (
    "accelerometer", "autoplay", "browsing-topics", "camera", "display-capture", "encrypted-media", "geolocation", "gyroscope",
    "magnetometer", "microphone", "midi", "payment", "picture-in-picture", "screen-wake-lock", "serial", "usb",
)  # fmt: skip
PERMISSIONS_POLICY = ", ".join(f"{feature}=()" for feature in FEATURES_OFF)
PICTURE_TYPES = ("image/", "application/dicom")
PICTURE_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
LOG_OUT_VIEWS = frozenset({"account_logout", "admin:logout"})

FORM_ALLOWANCE = 1024 * 1024  # bytes of a multipart request that are not the file
UNAVAILABLE_MESSAGE = "The server's disk does not take the film. Nothing was saved; please send it again later."
TOO_LARGE_MESSAGE = "The upload is larger than {limit} MB, the most this portal accepts."


def secure_headers(get_response: GetResponse) -> GetResponse:
    """What every answer of every address carries, a static file's and a refusal's too; the rest is Django's and django-csp's.

    Nothing that a log-in protects is kept by a browser or proxy, no window of another origin reaches ours, and a film that is
    opened by itself can run nothing. Logging out empties the browser's cache and storage.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        response.headers["Permissions-Policy"] = PERMISSIONS_POLICY
        if not request.path.startswith(settings.STATIC_URL):
            response.headers.setdefault("Cache-Control", "private, no-store")
        if response.headers.get("Content-Type", "").startswith(PICTURE_TYPES):
            response.headers["Content-Security-Policy"] = PICTURE_POLICY
        if request.method == "POST" and _is_log_out(request):
            response.headers["Clear-Site-Data"] = '"cache", "storage"'
        return response

    return middleware


def _is_log_out(request: HttpRequest) -> bool:
    match = request.resolver_match
    return match is not None and match.view_name in LOG_OUT_VIEWS


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
