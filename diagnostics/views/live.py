"""One poll for all waiting cases of a page: what has changed comes back as out-of-band swaps. And the warning of a delay."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.models import User
from accounts.permissions import requires, sees_cases
from accounts.sessions import passive
from diagnostics.models import Case
from diagnostics.services.status import Progress, describe_progress
from diagnostics.services.trail import record_list

MOST_WAITING = 60  # more than one page or one upload shows
STOP_POLLING = 286  # htmx's own status for it
SEPARATOR = "~"
TEMPLATES = {"row": "diagnostics/_live_rows.html", "badge": "diagnostics/_live_badges.html"}


@passive
@require_safe
@requires(sees_cases)
def live(request: HttpRequest) -> HttpResponse:
    """`w=<case>~<state as shown>`, repeated; `as=row|badge`. 204 where nothing changed, 286 where nothing waits."""
    shown = _parse(request.GET.getlist("w"))
    if not shown:
        return HttpResponse(status=STOP_POLLING)
    cases = Case.objects.visible_to(request.user).with_result().filter(pk__in=shown)
    changed = [case for case in cases if case.state != shown[case.pk]]
    if not changed:
        return HttpResponse(status=204)
    assert isinstance(request.user, User)  # noqa: S101 - `requires` has asked
    record_list(actor=request.user, shown=len(changed), searched=False)
    return render(request, TEMPLATES.get(request.GET.get("as", ""), TEMPLATES["badge"]), {"cases": changed})


@passive
@require_safe
@requires(sees_cases)
def delay(request: HttpRequest) -> HttpResponse:
    """A warning while films of the hospital wait and no worker is alive, or no version in service; else nothing.

    `told=suspended` says that the page has said the latter already.
    """
    waiting = Case.objects.visible_to(request.user).queued().first()
    progress = describe_progress(waiting) if waiting else Progress()
    if progress.suspended_since and request.GET.get("told") == "suspended":
        progress = Progress()
    return render(request, "diagnostics/_delay.html", {"progress": progress})


def _parse(pairs: list[str]) -> dict[UUID, str]:
    shown: dict[UUID, str] = {}
    for pair in pairs[:MOST_WAITING]:
        key, _, state = pair.partition(SEPARATOR)
        try:
            shown[UUID(key)] = state
        except ValueError:
            continue
    return shown
