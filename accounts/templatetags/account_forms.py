"""Form controls in the portal's look, for forms that allauth and Django define."""

from django import template
from django.contrib.auth.models import AnonymousUser
from django.forms import BoundField, CheckboxInput
from django.utils.safestring import SafeString

from accounts import permissions
from accounts.models import User

register = template.Library()


@register.simple_tag
def control(field: BoundField, autofocus: bool = False) -> SafeString:
    """The field's input with Bootstrap's class and without the placeholder: a label stands above it."""
    css = "form-check-input" if is_checkbox(field) else "form-control"
    if field.errors:
        css += " is-invalid"
    return field.as_widget(attrs={"class": css, "placeholder": False, "autofocus": autofocus})


@register.filter
def is_checkbox(field: BoundField) -> bool:
    return isinstance(field.field.widget, CheckboxInput)


@register.filter
def needs_second_factor(user: User | AnonymousUser) -> bool:
    return permissions.needs_second_factor(user)
