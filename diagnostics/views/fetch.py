"""Cases and patients, by way of the permission: a stranger gets the same 404 as for what does not exist, and is noted."""

from typing import Any
from uuid import UUID

from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest

from accounts.permissions import record_denial


def get_visible_or_404(request: HttpRequest, visible: QuerySet[Any], pk: UUID) -> Any:
    """The row of `visible`, which has been narrowed to what the user may see. One that is there but hidden is audited."""
    found = visible.filter(pk=pk).first()
    if found is None:
        model: type[Model] = visible.model
        if model._default_manager.filter(pk=pk).exists():  # noqa: SLF001 - Django's documented name for it
            record_denial(request, object_type=str(model._meta.model_name), object_id=pk)  # noqa: SLF001 - as above
        raise Http404
    return found
