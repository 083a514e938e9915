"""When a session ends by itself: after some minutes without activity, and some hours after log-in whatever happens.

A page that asks for news every second is no activity: what is asked for without the user's doing is marked `passive`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from accounts import audit
from accounts.models import User

STARTED, ACTIVE = "logged_in_at", "active_at"
GRAIN_SHARE = 30  # activity is noted once in this share of the idle time: not every request writes its session
LOGGED_OUT = ("LOGGED_OUT", "You have been logged out. Log in again, then go on.")

V = TypeVar("V", bound=Callable[..., Any])


def passive(view: V) -> V:
    """Marks a view that browsers ask by themselves: it keeps no session alive. The outermost decorator."""
    view.is_passive = True  # type: ignore[attr-defined]
    return view


@dataclass(frozen=True, slots=True)
class Remaining:
    """Seconds until the session ends; `is_final` where activity cannot put that off. `idle` is what activity gives."""

    seconds: int
    is_final: bool
    idle: int


def remaining(session: SessionBase) -> Remaining:
    """How long this session still lives. One that has no times yet has just begun."""
    now = time.time()
    lifetime = session.get(STARTED, now) + settings.SESSION_COOKIE_AGE - now
    idle = session.get(ACTIVE, now) + settings.SESSION_IDLE_SECONDS - now
    is_final = not settings.SESSION_IDLE_SECONDS or lifetime <= idle
    return Remaining(ceil(lifetime if is_final else idle), is_final, settings.SESSION_IDLE_SECONDS)


def keep_alive(session: SessionBase) -> None:
    """The user has done something just now."""
    now = time.time()
    if now - session.get(ACTIVE, 0) >= settings.SESSION_IDLE_SECONDS / GRAIN_SHARE:
        session[ACTIVE] = now


class SessionLimits:
    """Ends sessions that are over before anything is answered, and notes activity."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.user.is_authenticated and (left := remaining(request.session)).seconds <= 0:
            _end(request, left)
        response = self.get_response(request)
        if request.user.is_authenticated and STARTED not in request.session:
            request.session[STARTED] = request.session[ACTIVE] = time.time()
        return response

    def process_view(self, request: HttpRequest, view: Any, _args: Any, _kwargs: Any) -> None:
        if request.user.is_authenticated and STARTED in request.session and not getattr(view, "is_passive", False):
            keep_alive(request.session)


def _end(request: HttpRequest, left: Remaining) -> None:
    user = request.user if isinstance(request.user, User) else None
    reason = "lifetime" if left.is_final else "idle"
    with transaction.atomic():
        logout(request)
        audit.record(audit.Action.SESSIONS_ENDED, actor=user, details={"reason": reason})
    request.session_ended = True  # type: ignore[attr-defined]


class LoginRequired(LoginRequiredMiddleware):
    """Django's, with an answer that scripts understand: a log-in page must not be swapped into a part of another."""

    def handle_no_permission(self, request: HttpRequest, view_func: Any) -> HttpResponseBase:  # type: ignore[override]
        if asked_by_script(request):
            return JsonResponse({"code": LOGGED_OUT[0], "message": LOGGED_OUT[1]}, status=401)
        response: HttpResponseBase = super().handle_no_permission(request, view_func)
        if getattr(request, "session_ended", False):
            response.headers["Location"] += "&ended=1"
        return response


def asked_by_script(request: HttpRequest) -> bool:
    """By htmx for a part of a page, or for JSON: a redirect to a page would help nobody."""
    return "HX-Request" in request.headers or request.headers.get("Accept", "").startswith("application/json")
