"""Django admin's bulk actions: what is chosen by a forged form must be of the own hospital."""

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from accounts.models import ApiToken, AuditEvent
from tests.access.cast import World, make_world

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return make_world()


def actions_of(model: type[Model]) -> list[str]:
    return [str(action) for action in admin.site.get_model_admin(model).actions or []]


def chosen(world: World, model: type[Model], whose: str) -> str | None:
    return world.admin_objects.get(model._meta.label_lower.replace(".", "_"), {}).get(whose)


def test_no_action_reaches_another_hospitals_row(client: Client, world: World) -> None:
    client.cookies["sessionid"] = world.people["admin"].session
    hillcrest, tried = world.admin_objects["accounts_hospital"]["hillcrest"], 0
    for model in [model for model in admin.site._registry if model is not AuditEvent]:  # every try adds an entry there
        listing = reverse(f"admin:{model._meta.label_lower.replace('.', '_')}_changelist")
        key = chosen(world, model, "hillcrest")
        for action in actions_of(model) if key else []:
            before = list(model._default_manager.order_by("pk").values())
            entries = AuditEvent.objects.filter(hospital__pk=hillcrest).count()
            client.post(listing, {"action": action, "_selected_action": [key]})
            assert list(model._default_manager.order_by("pk").values()) == before, (model, action)
            assert AuditEvent.objects.filter(hospital__pk=hillcrest).count() == entries, (model, action)
            tried += 1
    assert tried >= 7


def test_the_same_actions_do_reach_the_own_hospitals_rows(client: Client, world: World) -> None:
    """Else the test above could not fail."""
    client.cookies["sessionid"] = world.people["admin"].session
    client.post(
        reverse("admin:accounts_apitoken_changelist"),
        {"action": "revoke", "_selected_action": [str(chosen(world, ApiToken, "riverside"))]},
    )
    assert ApiToken.objects.get(pk=str(chosen(world, ApiToken, "riverside"))).revoked_at is not None
