"""Versions in Django admin: read by who may see them, and a request approved by a second operator."""

import pytest
from django.contrib.admin import site
from django.test import Client

from accounts.models import User
from mlmodel.models import Promotion
from mlmodel.registry import versions_in_service
from mlmodel.services.promotion import activate_version
from tests.mlmodel.services.conftest import Evaluate

pytestmark = pytest.mark.django_db
MODELS = ["evaluation", "modelversion", "promotion", "shadowtally", "versionevent"]
PROMOTIONS = "/admin/mlmodel/promotion/"


@pytest.fixture
def request_of_operator(evaluate: Evaluate, operator: User) -> Promotion:
    evaluate("1.0.0", error=0.05)
    evaluate("2.0.0", error=0.0)
    activate_version(version="2.0.0", person=operator)
    return Promotion.objects.get()


def approve(client: Client, user: User, *rows: Promotion) -> str:
    client.force_login(user)
    given = {"action": "approve", "_selected_action": [str(row.pk) for row in rows]}
    return client.post(PROMOTIONS, given, follow=True).content.decode()


def test_every_model_of_the_registry_is_registered() -> None:
    assert sorted(model._meta.model_name or "" for model in site._registry if model._meta.app_label == "mlmodel") == MODELS


@pytest.mark.parametrize("model", MODELS)
def test_every_list_opens_and_no_row_is_changed_by_hand(
    client: Client, second: User, request_of_operator: Promotion, model: str
) -> None:
    client.force_login(second)
    assert client.get(f"/admin/mlmodel/{model}/").status_code == 200
    assert client.get(f"/admin/mlmodel/{model}/", {"q": "2.0"}).status_code == 200
    assert client.get(f"/admin/mlmodel/{model}/add/").status_code == 403
    address = f"{PROMOTIONS}{request_of_operator.pk}"
    assert client.get(f"{address}/change/").status_code == 200
    assert client.post(f"{address}/change/", {"state": "approved"}).status_code == 403
    assert client.post(f"{address}/delete/", {"post": "yes"}).status_code == 403


def test_a_second_operator_approves(client: Client, second: User, request_of_operator: Promotion) -> None:
    assert "2.0.0 is active in place of 1.0.0." in approve(client, second, request_of_operator)
    assert versions_in_service().active == "2.0.0"


def test_the_operator_who_asked_does_not(client: Client, operator: User, request_of_operator: Promotion) -> None:
    assert "another person approves it" in approve(client, operator, request_of_operator)
    assert versions_in_service().active == "1.0.0"


def test_a_radiology_admin_sees_requests_and_approves_none(
    client: Client, admin_user: User, request_of_operator: Promotion
) -> None:
    page = approve(client, admin_user, request_of_operator)
    assert "2.0.0" in page
    assert 'value="approve"' not in page
    assert versions_in_service().active == "1.0.0"


def test_a_doctor_sees_nothing(client: Client, doctor: User, request_of_operator: Promotion) -> None:
    client.force_login(doctor)
    assert client.get(PROMOTIONS).status_code in {302, 403}


def test_what_takes_force_is_not_approved_here(client: Client, evaluate: Evaluate, operator: User, second: User) -> None:
    evaluate("1.0.0", error=0.0)
    evaluate("2.0.0", error=0.3)
    activate_version(version="2.0.0", person=operator, force=True, reason="recall")
    assert "may be worse than 1.0.0" in approve(client, second, Promotion.objects.get())
    assert versions_in_service().active == "1.0.0"
