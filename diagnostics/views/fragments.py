"""Who asks: a browser for a page, or htmx for a part of one."""

from django.http import HttpRequest


def is_htmx(request: HttpRequest) -> bool:
    """Whether a fragment will do; `django_htmx.middleware` sets `request.htmx`."""
    return bool(getattr(request, "htmx", False))
