"""What the templates ask for: icons, and what the reader's role allows."""

from django import template
from django.contrib.auth.models import AnonymousUser
from django.template.loader import render_to_string

from accounts import permissions
from accounts.models import User

register = template.Library()


@register.simple_tag
def icon(name: str) -> str:
    """An inline SVG of `templates/icons/`, hidden from screen readers: words always stand beside it."""
    return render_to_string(f"icons/{name}.svg")


@register.filter
def sees_cases(user: User | AnonymousUser | str) -> bool:
    return not isinstance(user, str) and permissions.sees_cases(user)


@register.filter
def may_upload(user: User | AnonymousUser | str) -> bool:
    return not isinstance(user, str) and permissions.may_upload(user)


@register.filter
def may_review(user: User | AnonymousUser | str) -> bool:
    return not isinstance(user, str) and permissions.may_review(user)


@register.filter
def may_read_audit(user: User | AnonymousUser | str) -> bool:
    return not isinstance(user, str) and permissions.may_read_audit(user)


@register.filter
def may_use_admin(user: User | AnonymousUser | str) -> bool:
    return not isinstance(user, str) and permissions.may_use_admin(user)


@register.filter
def may_open_in_emergency(user: User | AnonymousUser | str) -> bool:
    return not isinstance(user, str) and permissions.may_open_in_emergency(user)
