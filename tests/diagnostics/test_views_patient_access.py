"""Who looked at a patient: complete, for the hospital's admins alone, and itself an entry."""

from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts import audit
from accounts.audit import Action
from accounts.models import AuditEvent, User
from diagnostics.models import Patient
from diagnostics.services.trail import record_case
from tests.diagnostics.cases import make_case
from tests.trail import trail

pytestmark = pytest.mark.django_db


@pytest.fixture
def patient(doctor: User, colleague: User, stranger: User) -> Patient:
    patient = Patient.objects.create(hospital=doctor.hospital, record_number="MRN-1", name="Alder, Ann")
    case = make_case(doctor, state="done", patient=patient)
    other = make_case(doctor, state="done")
    record_case(Action.CASE_VIEWED, case=case, actor=doctor)
    record_case(Action.DOWNLOADED, case=case, actor=colleague)
    record_case(Action.CASE_VIEWED, case=other, actor=colleague)
    audit.record(Action.ACCESS_OPENED, actor=stranger, object_type="case", object_id=case.pk, patient=patient.pk)
    return patient


def url(patient: Patient) -> str:
    return reverse("diagnostics:patient_access", args=[patient.pk])


def test_the_page_tells_everybody_and_nothing_of_others(client: Client, admin_user: User, patient: Patient) -> None:
    client.force_login(admin_user)
    page = client.get(url(patient))
    assert [event.action for event in page.context["events"]] == ["log_viewed", "access_opened", "downloaded", "case_viewed"]
    text = page.content.decode()
    assert "Dora Doctor" in text
    assert "Hillcrest" in text, "the hospital of somebody from elsewhere is named"
    assert trail()[-1] == "log_viewed by admin"


@pytest.mark.parametrize(("form", "first"), [("csv", "sequence,"), ("fhir", '{"resourceType": "Bundle"')])
def test_the_list_can_be_saved(client: Client, admin_user: User, patient: Patient, form: str, first: str) -> None:
    client.force_login(admin_user)
    answer = client.get(url(patient), {"format": form})
    assert b"".join(answer.streaming_content).decode().startswith(first)  # type: ignore[attr-defined]
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert AuditEvent.objects.filter(action="exported", patient=patient.pk).count() == 1


def test_pages_neither_repeat_nor_leave_out(client: Client, admin_user: User, doctor: User) -> None:
    patient = Patient.objects.create(hospital=doctor.hospital, record_number="MRN-2")
    for _ in range(60):
        audit.record(Action.PATIENT_VIEWED, actor=doctor, patient=patient.pk)
    client.force_login(admin_user)
    first = client.get(url(patient))
    second = client.get(url(patient), {"before": first.context["next_cursor"]})
    seen = [event.sequence for page in (first, second) for event in page.context["events"]]
    assert seen == list(range(61, 0, -1))


@pytest.mark.parametrize("who", ["doctor", "radiologist", "operator"])
def test_other_roles_may_not(client: Client, patient: Patient, request: pytest.FixtureRequest, who: str) -> None:
    client.force_login(request.getfixturevalue(who))
    assert client.get(url(patient)).status_code == 403


def test_another_hospitals_patient_and_none_at_all_are_404(client: Client, admin_user: User, stranger: User) -> None:
    client.force_login(admin_user)
    theirs = Patient.objects.create(hospital=stranger.hospital, record_number="MRN-9")
    assert client.get(url(theirs)).status_code == 404
    assert client.get(reverse("diagnostics:patient_access", args=[uuid4()])).status_code == 404
    assert trail() == ["access_denied denied by admin"]


def test_only_admins_are_shown_the_way_to_it(client: Client, admin_user: User, doctor: User, patient: Patient) -> None:
    for user, shown in ((admin_user, True), (doctor, False)):
        client.force_login(user)
        page = client.get(patient.get_absolute_url()).content.decode()
        assert (url(patient) in page) is shown
