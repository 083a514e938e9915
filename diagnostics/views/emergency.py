"""Break-glass: the page that asks for case and reason, and the button that ends the access."""

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.views.decorators.http import require_http_methods, require_POST

from accounts.models import User
from accounts.permissions import may_open_in_emergency, requires
from accounts.reauthentication import recently_authenticated
from diagnostics.exceptions import NoSuchCaseError, TooManyTriesError
from diagnostics.forms import EmergencyForm
from diagnostics.models import Case, EmergencyAccess
from diagnostics.services.emergency import end_emergency_accesses, open_emergency_access

NO_SUCH_CASE = "The portal cannot open a case by this. Check the address, or ask the other hospital for it once more."
TOO_MANY = "Too many addresses opened nothing. Wait a quarter of an hour, and ask the other hospital for the right one."


@require_http_methods(["GET", "HEAD", "POST"])
@requires(may_open_in_emergency)
@recently_authenticated
def open_case(request: HttpRequest) -> HttpResponseBase:
    """Another hospital's case, for reading. The own hospital's opens as ever."""
    if request.method != "POST":
        return _page(request, EmergencyForm(initial={"case": request.GET.get("case", "")}), status=200)
    form = EmergencyForm(request.POST)
    if not form.is_valid():
        return _page(request, form, status=422)
    assert isinstance(request.user, User)  # noqa: S101 - `requires` has asked
    case_id, reason = form.cleaned_data["case"], form.cleaned_data["reason"]
    if own := Case.objects.visible_to(request.user).filter(pk=case_id).first():
        return HttpResponseRedirect(own.get_absolute_url())
    try:
        access = open_emergency_access(user=request.user, case_id=case_id, reason=reason)
    except NoSuchCaseError:
        form.add_error("case", NO_SUCH_CASE)
        return _page(request, form, status=422)
    except TooManyTriesError:
        form.add_error(None, TOO_MANY)
        return _page(request, form, status=429)
    return HttpResponseRedirect(access.case.get_absolute_url())


@require_POST
@requires(may_open_in_emergency)
def end(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Close the case again before its time."""
    assert isinstance(request.user, User)  # noqa: S101 - `requires` has asked
    own = EmergencyAccess.objects.filter(case=pk, user=request.user)
    if not end_emergency_accesses(accesses=own, ended_by=request.user):
        raise Http404
    messages.success(request, "The emergency access has ended.")
    return HttpResponseRedirect(resolve_url("diagnostics:worklist"))


def _page(request: HttpRequest, form: EmergencyForm, *, status: int) -> HttpResponse:
    context = {"form": form, "minutes": settings.BREAK_GLASS_MINUTES}
    return render(request, "diagnostics/emergency.html", context, status=status)
