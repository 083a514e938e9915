"""Form controls in the portal's look, for forms that allauth and Django define."""

from django import template
from django.forms import BoundField, CheckboxInput
from django.utils.safestring import SafeString

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
