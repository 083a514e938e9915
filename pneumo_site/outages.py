"""What is answered when something broke on the way to an answer: 503 where it will pass, 500 where it is a fault of ours."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.views.defaults import server_error

from pneumo_site.middleware import wants_json

PASSING = (OperationalError, InterfaceError)  # the database is away, restarting, or its disk is full
RETRY_SECONDS = 5
MESSAGE = "A part of the portal does not answer. Nothing was saved; please try again in a minute."


def answer_broken(request: HttpRequest) -> HttpResponseBase:
    """The `handler500`: Django calls it while the error is being handled."""
    if not isinstance(sys.exc_info()[1], PASSING):
        return server_error(request)
    response: HttpResponseBase
    if wants_json(request):
        response = JsonResponse({"code": "UNAVAILABLE", "message": MESSAGE}, status=503)
    else:
        # A page that stands alone: who is logged in is a question for the database.
        response = render(None, "outage.html", {"message": MESSAGE}, status=503)
    response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response
