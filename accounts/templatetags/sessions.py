"""What the pages know of their session's end."""

from typing import Any

from django import template

from accounts.sessions import Remaining, remaining

register = template.Library()


@register.simple_tag(takes_context=True)
def remaining_time(context: dict[str, Any]) -> Remaining:
    return remaining(context["request"].session)
