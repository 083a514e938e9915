"""The worklist: the hospital's cases, newest first."""

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from accounts.models import User
from accounts.permissions import requires, sees_cases
from diagnostics.forms import WorklistFilter
from diagnostics.models import Case
from diagnostics.services.trail import record_list
from diagnostics.services.versions import recent_change, suspended_since
from diagnostics.views.fragments import is_htmx
from diagnostics.views.pagination import read_page
from diagnostics.views.studies import group_by_study

CURSOR = "before"


@require_safe
@requires(sees_cases)
def worklist(request: HttpRequest) -> HttpResponse:
    """The page, or its list alone where htmx swaps it in."""
    form = WorklistFilter(request.GET)
    visible = Case.objects.visible_to(request.user).with_result()
    page = read_page(form.apply(visible), request.GET.get(CURSOR, ""))
    assert isinstance(request.user, User)  # noqa: S101 - `requires` has asked
    record_list(actor=request.user, shown=len(page.cases), searched=bool(request.GET))
    context = {
        "form": form,
        "page": page,
        "groups": group_by_study(page.cases),
        "suspended_since": suspended_since(),
        "waits": any(not case.is_final for case in page.cases),
        "next_query": _query_with(request.GET, page.next_cursor),
        "first_query": _query_with(request.GET, ""),
    }
    if is_htmx(request):
        answer = render(request, "diagnostics/_worklist_results.html", context)
    else:
        answer = render(request, "diagnostics/worklist.html", {**context, "version_change": recent_change()})
    patch_vary_headers(answer, ["HX-Request"])
    return answer


def _query_with(current: QueryDict, cursor: str) -> str:
    """The filters in force, with another cursor; fields left empty are left out of the address."""
    query = QueryDict(mutable=True)
    for name, value in current.items():
        if value and name != CURSOR:
            query[name] = str(value)
    if cursor:
        query[CURSOR] = cursor
    return query.urlencode()
