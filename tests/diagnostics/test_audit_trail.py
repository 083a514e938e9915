"""Every view, image, download, upload, review, signature, override, export and change of a case or version leaves its entry."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from django.db import DatabaseError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import audit
from accounts.models import AuditEvent, User
from accounts.tokens import create_api_token
from diagnostics import storage
from diagnostics.models import Case, Patient
from diagnostics.services.administration import cancel_case, requeue_case
from diagnostics.services.purging import purge_expired_images
from tests.diagnostics.cases import make_case, make_prediction, upload
from tests.trail import trail

pytestmark = pytest.mark.django_db


@pytest.fixture
def patient(doctor: User) -> Patient:
    return Patient.objects.create(hospital=doctor.hospital, record_number="MRN-1", name="Canary, Cara")


@pytest.fixture
def case(doctor: User, patient: Patient) -> Case:
    case = make_case(doctor, state="done", patient=patient)
    prediction = make_prediction(case)
    for key in (case.original_key, storage.display_key(case.pk), prediction.heatmap_key):
        storage.save_derived(key, b"picture")
    return case


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("case", "case_viewed by doctor"),
        ("status", "case_viewed by doctor"),
        ("display", "image_read by doctor"),
        ("heatmap", "image_read by doctor"),
        ("original", "downloaded by doctor"),
    ],
)
def test_what_is_read_of_a_case_is_entered_with_its_patient(
    client: Client, doctor: User, case: Case, name: str, entry: str
) -> None:
    client.force_login(doctor)
    assert client.get(reverse(f"diagnostics:{name}", args=[case.pk])).status_code == 200
    assert trail() == [entry]
    event = AuditEvent.objects.get()
    assert (event.object_type, event.object_id) == ("case", str(case.pk))
    assert (event.patient, event.hospital) == (case.patient_id, case.hospital)


@pytest.mark.parametrize("name", ["display", "heatmap", "original"])
def test_no_byte_of_a_film_is_served_without_its_entry(client: Client, doctor: User, case: Case, name: str) -> None:
    client.force_login(doctor)
    client.raise_request_exception = False
    with mock.patch("accounts.audit._append", side_effect=DatabaseError):
        answer = client.get(reverse(f"diagnostics:{name}", args=[case.pk]))
    assert answer.status_code == 500
    assert b"picture" not in answer.getvalue()


def test_an_open_page_that_learns_nothing_new_is_no_further_view(client: Client, doctor: User) -> None:
    client.force_login(doctor)
    waiting = make_case(doctor)
    url = reverse("diagnostics:status", args=[waiting.pk])
    first = client.get(url)
    assert first.status_code == 200
    shown = {"result": first.context["screen"].result_stamp, "film": first.context["screen"].film_stamp}
    assert client.get(url, shown).status_code == 204
    assert trail() == []


def test_lists_and_the_patients_page(client: Client, doctor: User, patient: Patient) -> None:
    client.force_login(doctor)
    client.get(reverse("diagnostics:worklist"), {"q": "Canary"})
    client.get(reverse("diagnostics:patient", args=[patient.pk]))
    assert trail() == ["list_viewed by doctor", "patient_viewed by doctor"]
    assert AuditEvent.objects.first().patient == patient.pk  # type: ignore[union-attr]


def test_a_strangers_try_is_entered_and_one_at_nothing_is_not(client: Client, stranger: User, case: Case) -> None:
    client.force_login(stranger)
    assert client.get(reverse("diagnostics:original", args=[case.pk])).status_code == 404
    assert client.get(reverse("diagnostics:original", args=[uuid4()])).status_code == 404
    assert trail() == ["access_denied denied by stranger"]


def test_an_upload_and_its_repetition_make_one_entry(doctor: User, film_jpeg: bytes) -> None:
    for _ in range(2):
        upload(doctor, film_jpeg, name="Canary Cara.jpg", idempotency_key="once")
    assert trail() == ["uploaded by doctor"]


@pytest.mark.django_db(transaction=True)
def test_an_upload_without_its_entry_is_not_accepted(doctor: User, film_jpeg: bytes) -> None:
    with mock.patch("accounts.audit._append", side_effect=DatabaseError), pytest.raises(DatabaseError):
        upload(doctor, film_jpeg)
    assert not Case.objects.exists()


def test_drafts_and_signatures(client: Client, doctor: User, case: Case) -> None:
    client.force_login(doctor)
    form = {"verdict": "agree", "finding": "PNEUMONIA", "note": "Canary", "judged": case.predictions.get().pk}
    url = reverse("diagnostics:review", args=[case.pk])
    for action in ({}, {"sign": "1"}):
        assert client.post(url, {**form, **action}).status_code == 302
    assert trail() == ["reviewed by doctor", "signed by doctor"]


def test_an_override_with_its_code(client: Client, radiologist: User, doctor: User) -> None:
    refused = make_case(doctor, state="refused", refusal_code="LATERAL_VIEW")
    client.force_login(radiologist)
    client.post(reverse("diagnostics:override", args=[refused.pk]), {"reason": "The tag is wrong, it is frontal."})
    assert trail() == ["overridden by radiologist"]
    assert AuditEvent.objects.get().details == {"code": "LATERAL_VIEW"}


@pytest.mark.parametrize(
    ("state", "act", "entry"),
    [
        ("failed", requeue_case, "requeued by nobody"),
        ("queued", cancel_case, "cancelled by nobody"),
        ("done", cancel_case, None),
        ("queued", requeue_case, None),
    ],
)
def test_what_administration_does_to_a_case(doctor: User, state: str, act: Callable[..., bool], entry: str | None) -> None:
    act(case=make_case(doctor, state=state))
    assert trail() == ([entry] if entry else [])


def test_a_film_that_is_removed_after_the_retention_time(doctor: User, case: Case) -> None:
    Case.objects.update(created_at=timezone.now() - timedelta(days=40), finished_at=timezone.now() - timedelta(days=40))
    for _ in range(2):
        purge_expired_images(days=30)
    assert trail() == ["film_purged by nobody"]


def ask(client: Client, token: str, case: Case, address: str = "192.0.2.1") -> None:
    url = f"/api/v1/cases/{case.pk}"
    assert client.get(url, headers={"Authorization": f"Bearer {token}"}, REMOTE_ADDR=address).status_code == 200


def test_each_answer_of_the_api_with_a_result(client: Client, doctor: User, case: Case) -> None:
    _, token = create_api_token(user=doctor)
    for _ in range(2):
        ask(client, token, case)
    assert trail()[1:] == ["case_viewed by doctor"] * 2
    assert Case.objects.get(pk=case.pk).first_viewed_at is None, "a program is no clinician"


def test_a_program_that_asks_for_a_waiting_film_is_entered_as_often_as_it_learns_something(
    client: Client, doctor: User, colleague: User, patient: Patient
) -> None:
    waiting = make_case(doctor, patient=patient)
    tokens = [create_api_token(user=user)[1] for user in (doctor, colleague)]
    for token in [*tokens, *tokens]:
        ask(client, token, waiting)
    viewed = AuditEvent.objects.filter(action="case_viewed", patient=patient.pk)
    assert viewed.count() == 2, "each reader's first answer"
    ask(client, tokens[0], waiting, address="198.51.100.9")
    assert viewed.count() == 3, "somebody elsewhere with the same token"
    later = {"lease_until": timezone.now() + timedelta(minutes=1), "state": "processing", "attempt": 1}
    Case.objects.filter(pk=waiting.pk).update(**later)
    for _ in range(2):
        ask(client, tokens[0], waiting)
    assert viewed.count() == 4, "the next state"
    Case.objects.filter(pk=waiting.pk).update(state="queued", lease_until=None, queued_at=timezone.now())
    for _ in range(2):
        ask(client, tokens[0], waiting)
    assert viewed.count() == 5, "queued once more: a refusal may have been set aside"


@pytest.mark.parametrize("page", ["patient_changelist", "case_changelist", "patient", "case", "case_history"])
def test_what_is_read_in_admin(client: Client, admin_user: User, case: Case, patient: Patient, page: str) -> None:
    client.force_login(admin_user)
    urls = {
        "patient": reverse("admin:diagnostics_patient_change", args=[patient.pk]),
        "case": reverse("admin:diagnostics_case_change", args=[case.pk]),
        "case_history": reverse("admin:diagnostics_case_history", args=[case.pk]),
    }
    assert client.get(urls.get(page) or reverse(f"admin:diagnostics_{page}")).status_code == 200
    expected = {"patient": "patient_viewed", "case": "case_viewed", "case_history": "case_viewed"}
    assert trail() == [f"{expected.get(page, 'list_viewed')} by admin"]


def test_a_list_in_admin_that_is_asked_for_by_post(client: Client, admin_user: User, patient: Patient) -> None:
    client.force_login(admin_user)
    answer = client.post(reverse("admin:diagnostics_patient_changelist"), {})
    assert b"Canary, Cara" in answer.content
    assert trail() == ["list_viewed by admin"]


def test_a_patients_data_changed_in_admin(client: Client, admin_user: User, patient: Patient) -> None:
    client.force_login(admin_user)
    url = reverse("admin:diagnostics_patient_change", args=[patient.pk])
    client.post(url, {"record_number": "MRN-1", "name": "Canary, Carla", "sex": "F", "birth_date": ""})
    event = AuditEvent.objects.get()
    assert (event.action, event.patient) == ("admin_changed", patient.pk)
    assert event.details == {"in": "admin", "fields": ["Name", "Sex"]}
    client.get(reverse("admin:diagnostics_patient_changelist"))  # where the change is confirmed by name
    assert str(patient.pk)[:8] in (page := client.get(reverse("admin:index")).content.decode())
    assert "Canary" not in page, "the list of recent actions is no audited view"


def test_nothing_of_a_patient_but_the_key_is_in_the_log(client: Client, doctor: User, case: Case) -> None:
    client.force_login(doctor)
    client.get(reverse("diagnostics:case", args=[case.pk]))
    client.get(reverse("diagnostics:worklist"), {"q": "Canary"})
    everything: Any = str(list(AuditEvent.objects.values()))
    assert "Canary" not in everything
    assert "MRN-1" not in everything
    assert audit.verify().problem == ""


@pytest.mark.parametrize("name", ["review", "override"])
def test_a_form_that_comes_back_with_a_complaint_shows_the_case_and_is_a_view(
    client: Client, radiologist: User, case: Case, name: str
) -> None:
    client.force_login(radiologist)
    answer = client.post(reverse(f"diagnostics:{name}", args=[case.pk]), {})
    assert answer.status_code == 422
    assert b"Canary, Cara" in answer.content
    assert trail() == ["case_viewed by radiologist"]


@pytest.mark.parametrize("claimed", ["done", "done-", "done-0.5"])
def test_a_result_is_a_view_whatever_the_page_says_that_it_shows(
    client: Client, doctor: User, case: Case, claimed: str
) -> None:
    Case.objects.update(created_at=timezone.now() - timedelta(hours=1))
    client.force_login(doctor)
    answer = client.get(reverse("diagnostics:status", args=[case.pk]), {"result": claimed})
    assert b"Canary, Cara" in answer.content
    assert trail() == ["case_viewed by doctor"]


def test_the_progress_of_a_film_that_waits_tells_nothing_of_the_patient(client: Client, doctor: User, patient: Patient) -> None:
    client.force_login(doctor)
    waiting = make_case(doctor, patient=patient, file_name="Canary.jpg", clinical_note="Canary coughs")
    answer = client.get(reverse("diagnostics:status", args=[waiting.pk]))
    assert answer.status_code == 200
    assert b"Canary" not in answer.content


@pytest.mark.parametrize("shape", ["row", "badge"])
def test_rows_that_change_on_an_open_page_are_a_list_that_is_viewed(
    client: Client, doctor: User, case: Case, shape: str
) -> None:
    client.force_login(doctor)
    address = reverse("diagnostics:live")
    assert client.get(address, {"as": shape, "w": f"{case.pk}~queued"}).status_code == 200
    assert client.get(address, {"as": shape, "w": f"{case.pk}~done"}).status_code == 204
    assert trail() == ["list_viewed by doctor"]
