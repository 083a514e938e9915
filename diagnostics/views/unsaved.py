"""The page hands over what is being typed before its session ends."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from accounts.models import User
from accounts.permissions import may_review, requires
from accounts.sessions import passive
from diagnostics.forms import UnsavedReviewForm
from diagnostics.models import Case
from diagnostics.services.unsaved import keep_unsaved_review
from diagnostics.views.fetch import get_visible_or_404


@passive
@require_POST
@requires(may_review)
def keep(request: HttpRequest, pk: UUID) -> HttpResponse:
    """204 once it is kept. The page asks by itself, so this keeps no session alive."""
    case = get_visible_or_404(request, Case.objects.visible_to(request.user), pk)
    form = UnsavedReviewForm(request.POST)
    if not form.is_valid():
        return HttpResponse(status=422)
    assert isinstance(request.user, User)  # noqa: S101 - `requires` has asked
    keep_unsaved_review(case=case, author=request.user, **form.cleaned_data)
    return HttpResponse(status=204)
