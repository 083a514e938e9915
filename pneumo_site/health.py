"""Is the process alive, and are the parts that it needs? For load balancers and operators; no patient data."""

from ipaddress import ip_address
from secrets import compare_digest

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from diagnostics.metrics import collect_readiness
from pneumo_site.metrics_page import render_metrics


@login_not_required
@require_safe
def healthz(_request: HttpRequest) -> HttpResponse:
    """The process answers; nothing else is asked."""
    return HttpResponse("ok\n", content_type="text/plain")


@login_not_required
@require_safe
def readyz(_request: HttpRequest) -> JsonResponse:
    """Database, storage, Redis, worker heartbeat and model, each `ok` or what is wrong; 503 when one is down.

    A part that is `degraded` and does its work makes no 503: a load balancer would take every machine away for it.
    """
    parts = {name: check() for name, check in collect_readiness().items()}
    ready = all(state == "ok" or state.startswith("degraded") for state in parts.values())
    return JsonResponse({"ready": ready, "parts": parts}, status=200 if ready else 503)


@login_not_required
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format, for the token's bearer or, where no token is set, for loopback alone."""
    if not _may_scrape(request):
        raise PermissionDenied
    page, content_type = render_metrics()
    return HttpResponse(page, content_type=content_type)


def _may_scrape(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return compare_digest(given.encode(), settings.METRICS_TOKEN.encode())
    # Behind a proxy on this machine every request seems to come from loopback: then only the token opens.
    address = request.META.get("REMOTE_ADDR", "")
    return "X-Forwarded-For" not in request.headers and bool(address) and ip_address(address).is_loopback
