"""Asks once more who it is, where the log-in lies back some minutes."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from allauth.account.authentication import get_authentication_records
from allauth.core.exceptions import ReauthenticationRequired
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def recently_authenticated(view: View[P]) -> View[P]:
    """View decorator: password or second factor again, unless given within `ACCOUNT_REAUTHENTICATION_TIMEOUT`.

    allauth's own asks even right after log-in; at night, before a child's film, that would be one time too many.
    """

    @wraps(view)
    def checked(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        records = get_authentication_records(request, request.user)
        latest = max((record["at"] for record in records), default=0)
        if time.time() - latest >= settings.ACCOUNT_REAUTHENTICATION_TIMEOUT:
            raise ReauthenticationRequired
        return view(request, *args, **kwargs)

    return checked
