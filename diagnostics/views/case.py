"""The case page, the fragment that brings the result, and the review."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.permissions import may_override_refusals, may_review, requires, sees_cases
from accounts.sessions import passive
from diagnostics.exceptions import TransitionError
from diagnostics.forms import OverrideForm, ReviewForm
from diagnostics.models import Case
from diagnostics.services.overrides import override_refusal
from diagnostics.services.reanalysis import reanalyse_case
from diagnostics.services.reviews import record_review
from diagnostics.services.viewing import view_case
from diagnostics.views.fetch import get_visible_or_404
from diagnostics.views.fragments import is_htmx
from diagnostics.views.screen import Screen, blank_review

NOTHING_NEW = "Nothing was done: no version is in service, it has read this film already, or the case has changed meanwhile."
NOT_REFUSED = "Nothing was done: the case has changed meanwhile, or this refusal cannot be set aside."
NOT_READY = "The case has changed meanwhile. Read the page again before you sign."


def _fetch(request: HttpRequest, pk: UUID, *, to_read: bool = False) -> Case:
    """A case of another hospital, opened in an emergency, is there to be read alone."""
    cases = Case.objects.readable_by(request.user) if to_read else Case.objects.visible_to(request.user)
    visible = cases.with_result()
    whole = visible.select_related("patient", "uploader", "hospital", "duplicate_of")
    found: Case = get_visible_or_404(request, whole.prefetch_related("overrides__decided_by"), pk)
    return found


@require_safe
@requires(sees_cases)
def case(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = _fetch(request, pk, to_read=True)
    _note_view(request, found, through="page")
    return render(request, "diagnostics/case.html", Screen(found, request.user).context())


@passive
@require_safe
@requires(sees_cases)
def status(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The parts that differ from what the page shows (`result`, `film`: their stamps); 204 where none does."""
    found = _fetch(request, pk, to_read=True)
    screen = Screen(found, request.user, shown=request.GET)
    if not screen.has_news:
        return HttpResponse(status=204)
    if screen.tells_result:  # a picture that was drawn meanwhile is no further view
        _note_view(request, found, through="result")
    return render(request, "diagnostics/_status.html", screen.context())


@require_POST
@requires(may_review)
def review(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Record the verdict. What was typed comes back with a complaint, never lost."""
    found = _fetch(request, pk)
    form = ReviewForm(request.POST, prediction=found.result)
    if not form.is_valid() or not _record(request, found, form):
        _note_view(request, found, through="review")
        return _review_answer(request, found, form, status=422)
    if not is_htmx(request):
        messages.success(request, "The review is signed." if form.cleaned_data["sign"] else "The draft is saved.")
        return HttpResponseRedirect(found.get_absolute_url())
    return _review_answer(request, found := _fetch(request, pk), blank_review(found, request.user), status=200)


@require_POST
@requires(may_review)
def analyse_again(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Queue the film for the version in service; earlier results stay."""
    found = _fetch(request, pk)
    assert isinstance(request.user, User)  # noqa: S101 - `requires` has asked
    if reanalyse_case(case=found, user=request.user):
        messages.success(request, "The film is in the queue again. Earlier results stay below.")
    else:
        messages.warning(request, NOTHING_NEW)
    return HttpResponseRedirect(found.get_absolute_url())


@require_POST
@requires(may_override_refusals)
def override(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Set the refusal aside. A reason that is missing comes back with a complaint."""
    found = _fetch(request, pk)
    form = OverrideForm(request.POST)
    if not form.is_valid():
        _note_view(request, found, through="override")
        return render(request, "diagnostics/case.html", Screen(found, request.user, override_form=form).context(), status=422)
    assert isinstance(request.user, User)  # noqa: S101 - `requires` has asked
    try:
        override_refusal(case=found, radiologist=request.user, reason=form.cleaned_data["reason"])
    except TransitionError:
        messages.error(request, NOT_REFUSED)
    else:
        messages.success(request, "The refusal is set aside. The film is in the queue again.")
    return HttpResponseRedirect(found.get_absolute_url())


def _record(request: HttpRequest, found: Case, form: ReviewForm) -> bool:
    assert isinstance(request.user, User)  # noqa: S101 - `requires` has asked
    try:
        record_review(case=found, reviewer=request.user, **form.cleaned_data)
    except TransitionError:
        form.add_error(None, NOT_READY)
        return False
    return True


def _review_answer(request: HttpRequest, found: Case, form: ReviewForm, *, status: int) -> HttpResponse:
    context = Screen(found, request.user, review_form=form).context()
    template = "diagnostics/_review_answer.html" if is_htmx(request) else "diagnostics/case.html"
    return render(request, template, context, status=status)


def _note_view(request: HttpRequest, found: Case, *, through: str) -> None:
    assert isinstance(request.user, User)  # noqa: S101 - `requires` has asked
    view_case(case=found, viewer=request.user, through=through)
