"""Every page by every kind of visitor: works, anonymous, stranger, operator, wrong method, missing."""

from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from diagnostics import storage
from diagnostics.models import Case, Patient
from tests.diagnostics.cases import make_case, make_prediction

NO_CASE = UUID(int=0)
LISTS = ["worklist", "upload"]
OF_A_CASE = ["case", "status", "original", "display", "heatmap"]
READABLE = [*LISTS, "live", "delay", "patient", *OF_A_CASE]


@pytest.fixture
def case(doctor: User) -> Case:
    """Analysed, with all its pictures stored."""
    patient = Patient.objects.create(hospital=doctor.hospital, record_number="MRN-1", name="Okafor, Chidi")
    found = make_case(doctor, state="done", patient=patient)
    prediction = make_prediction(found)
    for key in (found.original_key, storage.display_key(found.pk), prediction.heatmap_key):
        storage.save_derived(key, b"\x89PNG stands in for a picture")
    return found


def address(name: str, case: Case | None = None) -> str:
    """The page's address; without a case, that of one that does not exist."""
    if name in [*LISTS, "live", "delay"]:
        return reverse(f"diagnostics:{name}")
    known = case.patient_id if case and name == "patient" else case.pk if case else uuid4()
    return reverse(f"diagnostics:{name}", args=[known])


@pytest.mark.parametrize("name", READABLE)
def test_a_doctor_of_the_hospital_opens_every_page(client: Client, doctor: User, case: Case, name: str) -> None:
    client.force_login(doctor)
    assert client.get(address(name, case)).status_code == (286 if name == "live" else 200)


@pytest.mark.parametrize("name", [*READABLE, "review"])
def test_an_anonymous_visitor_is_sent_to_the_log_in(client: Client, case: Case, name: str) -> None:
    answer = client.post(address(name, case)) if name == "review" else client.get(address(name, case))
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("name", ["patient", *OF_A_CASE])
def test_a_stranger_gets_404(client: Client, stranger: User, case: Case, name: str) -> None:
    client.force_login(stranger)
    assert client.get(address(name, case)).status_code == 404


def test_a_stranger_cannot_review(client: Client, stranger: User, case: Case) -> None:
    client.force_login(stranger)
    answer = client.post(address("review", case), {"verdict": "agree", "finding": "PNEUMONIA", "sign": "true"})
    assert answer.status_code == 404
    assert not case.reviews.exists()


def test_a_stranger_hears_nothing_of_a_waiting_case(client: Client, stranger: User, case: Case) -> None:
    client.force_login(stranger)
    assert client.get(address("live"), {"w": f"{case.pk}~queued"}).status_code == 204


@pytest.mark.parametrize("name", [*READABLE, "review"])
def test_an_operator_gets_403_in_plain_words(client: Client, operator: User, case: Case, name: str) -> None:
    client.force_login(operator)
    answer = client.post(address(name, case)) if name == "review" else client.get(address(name, case))
    assert answer.status_code == 403
    assert "Not for your role" in answer.content.decode()


def test_a_radiology_admin_reads_but_does_not_review(client: Client, admin_user: User, case: Case) -> None:
    client.force_login(admin_user)
    page = client.get(address("case", case))
    assert page.status_code == 200
    assert "Sign the review" not in page.content.decode()
    assert client.post(address("review", case)).status_code == 403


@pytest.mark.parametrize("name", [*READABLE, "review"])
def test_a_wrong_method_gets_405(client: Client, doctor: User, case: Case, name: str) -> None:
    client.force_login(doctor)
    answer = client.get(address(name, case)) if name == "review" else client.delete(address(name, case))
    assert answer.status_code == 405


@pytest.mark.parametrize("name", ["patient", *OF_A_CASE, "review"])
def test_what_does_not_exist_gets_404(client: Client, doctor: User, name: str) -> None:
    client.force_login(doctor)
    answer = client.post(address(name)) if name == "review" else client.get(address(name))
    assert answer.status_code == 404


def test_a_review_is_posted_with_a_token_only(doctor: User, case: Case) -> None:
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(doctor)
    answer = careful.post(address("review", case), {"verdict": "agree", "finding": "PNEUMONIA"})
    assert answer.status_code == 403
    assert "The form has expired" in answer.content.decode()
