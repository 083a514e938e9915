"""Steps in a version's life, told to whom the settings name: this room knows no audit log."""

from typing import TYPE_CHECKING

from django.conf import settings
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from accounts.models import User


def tell(step: str, *, version: str, by: "User | None", approved_by: "User | None" = None, forced: bool = False) -> None:
    """Call it in the transaction of the step: a listener that raises undoes it."""
    if settings.MODEL_STEP_LISTENER:
        listen = import_string(settings.MODEL_STEP_LISTENER)
        listen(step, version=version, by=by, approved_by=approved_by, forced=forced)
