"""Django admin: every list and page opens, searches, and edits no record."""

import pytest
from django.contrib.admin import site
from django.test import Client

from accounts.models import Role, User
from diagnostics.models import Case, Patient
from diagnostics.services.reviews import record_review
from mlmodel import api
from tests.diagnostics.cases import make_case, make_prediction
from tests.factories import UserFactory

MODELS = ["case", "emergencyaccess", "gateoverride", "patient", "prediction", "review", "worker"]


@pytest.fixture
def case(doctor: User) -> Case:
    patient = Patient.objects.create(hospital=doctor.hospital, record_number="MRN-7", name="Alder, Ann")
    case = make_case(doctor, state="done", patient=patient)
    make_prediction(case)
    record_review(case=case, reviewer=doctor, verdict="agree", finding="PNEUMONIA", sign=True)
    return case


@pytest.mark.parametrize("model", MODELS)
def test_every_list_opens_and_searches(client: Client, admin_user: User, case: Case, model: str) -> None:
    client.force_login(admin_user)
    assert client.get(f"/admin/diagnostics/{model}/").status_code == 200
    assert client.get(f"/admin/diagnostics/{model}/", {"q": "MRN"}).status_code == 200


@pytest.mark.parametrize("model", ["case", "prediction", "review"])
def test_a_record_is_shown_but_cannot_be_saved_or_deleted(client: Client, admin_user: User, case: Case, model: str) -> None:
    client.force_login(admin_user)
    row = {"case": case, "prediction": case.prediction, "review": case.review}[model]
    assert row is not None
    address = f"/admin/diagnostics/{model}/{row.pk}"
    assert client.get(f"{address}/change/").status_code == 200
    assert client.post(f"{address}/change/", {"state": "failed"}).status_code == 403
    assert client.post(f"{address}/delete/", {"post": "yes"}).status_code == 403
    assert client.get(f"/admin/diagnostics/{model}/add/").status_code == 403


def test_a_stranger_hospitals_admin_finds_nothing(client: Client, stranger: User, case: Case) -> None:
    client.force_login(UserFactory.create(hospital=stranger.hospital, role=Role.ADMIN))
    assert str(case.pk) not in client.get("/admin/diagnostics/case/").content.decode()
    assert client.get(f"/admin/diagnostics/case/{case.pk}/change/").status_code == 404


def test_repeating_and_cancelling_go_through_the_services(client: Client, admin_user: User, doctor: User) -> None:
    client.force_login(admin_user)
    failed, waiting, done = (make_case(doctor, state=state) for state in ("failed", "queued", "done"))
    make_prediction(done, model_version=api.active_version())
    rows = {"_selected_action": [str(case.pk) for case in (failed, waiting, done)]}
    answer = client.post("/admin/diagnostics/case/", {"action": "reanalyse", **rows}, follow=True)
    assert "1 case(s) put back into the queue" in answer.content.decode()
    assert "2 case(s) left alone" in answer.content.decode()
    client.post("/admin/diagnostics/case/", {"action": "cancel", **rows})
    states = {case.pk: Case.objects.get(pk=case.pk).state for case in (failed, waiting, done)}
    assert states == {failed.pk: "failed", waiting.pk: "failed", done.pk: "done"}


def test_doctors_have_no_admin(client: Client, doctor: User) -> None:
    client.force_login(doctor)
    assert client.get("/admin/diagnostics/case/").status_code in {302, 403}


def test_every_model_of_the_room_is_registered() -> None:
    registered = {model._meta.model_name for model in site._registry if model._meta.app_label == "diagnostics"}
    assert registered == set(MODELS), "an unsaved review is its author's alone"
