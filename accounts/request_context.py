"""Which request is being answered, and for whom: for log lines and audit events, without handing the request around."""

import re
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

HEADER = "X-Request-ID"
# Hexadecimal, as nginx and load balancers make them: no header can carry a patient's name into the logs.
WELL_FORMED = re.compile(r"[0-9A-Fa-f-]{16,64}")


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The request's id, and the address it came from where that is known. Outside a request: an empty id and no address."""

    request_id: str
    address: str | None


_OUTSIDE = RequestContext(request_id="", address=None)
_context: ContextVar[RequestContext] = ContextVar("request_context", default=_OUTSIDE)
_request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


def current() -> RequestContext:
    """The context of the request that this thread answers."""
    return _context.get()


def context_of(request: object) -> RequestContext:
    """The same of a request that may be over: Django logs a refusal when the middleware is through."""
    found = getattr(request, "request_context", None)
    return found if isinstance(found, RequestContext) else current()


def current_user_id(request: object = None) -> Any:
    """Key of the user, where the request has been told apart by session or token already; never asks the database."""
    request = request or _request.get()
    user = getattr(request, "auth", None) or getattr(request, "_cached_user", None)
    return getattr(user, "pk", None)


def middleware(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Sets the context for the time of the request, and tells the caller the id."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        context = RequestContext(request_id=_request_id(request), address=_client_address(request))
        request.request_context = context  # type: ignore[attr-defined]
        outer, outer_request = _context.set(context), _request.set(request)
        try:
            response = get_response(request)
        finally:
            _context.reset(outer)
            _request.reset(outer_request)
        response.headers[HEADER] = context.request_id
        return response

    return answer


def _request_id(request: HttpRequest) -> str:
    given = request.headers.get(HEADER, "")
    return given if WELL_FORMED.fullmatch(given) else uuid4().hex


def _client_address(request: HttpRequest) -> str | None:
    """Who spoke to the outermost of our proxies; what a client writes into the header itself stands further left."""
    proxies: int = getattr(settings, "ALLAUTH_TRUSTED_PROXY_COUNT", 0)
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",")]
    found = hops[-proxies] if 0 < proxies <= len(hops) and any(hops) else request.META.get("REMOTE_ADDR", "")
    try:
        return str(ip_address(found))
    except ValueError:
        return None
