"""The patient's page."""

from datetime import date, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from diagnostics.models import Patient
from tests.diagnostics.cases import make_case


@pytest.fixture
def patient(doctor: User) -> Patient:
    return Patient.objects.create(
        hospital=doctor.hospital, record_number="MRN-5", name="Lindqvist, Maja", birth_date=date(2024, 11, 9), sex="F"
    )


def test_all_films_stand_newest_first_with_studies_together(client: Client, doctor: User, patient: Patient) -> None:
    now = timezone.now()
    for name, hours, study in [("old", 50, ""), ("lateral", 3, "1.2"), ("single", 2, ""), ("frontal", 1, "1.2")]:
        moment = now - timedelta(hours=hours)
        make_case(doctor, patient=patient, file_name=name, study_instance_uid=study, created_at=moment)
    make_case(doctor, file_name="of nobody")
    client.force_login(doctor)
    page = client.get(patient.get_absolute_url())
    assert [case.file_name for group in page.context["groups"] for case in group.cases] == [
        "frontal",
        "lateral",
        "single",
        "old",
    ]
    text = page.content.decode()
    for fact in ("Lindqvist, Maja", "MRN-5", "9 November 2024", "Female"):
        assert fact in text


def test_a_patient_without_films_is_said_to_have_none(client: Client, doctor: User, patient: Patient) -> None:
    client.force_login(doctor)
    assert "No films of this patient yet" in client.get(patient.get_absolute_url()).content.decode()


def test_long_histories_come_in_pages(client: Client, doctor: User, patient: Patient) -> None:
    for n in range(30):
        make_case(doctor, patient=patient, created_at=timezone.now() - timedelta(hours=n))
    client.force_login(doctor)
    first = client.get(patient.get_absolute_url())
    rest = client.get(patient.get_absolute_url(), {"before": first.context["page"].next_cursor})
    assert (len(first.context["page"].cases), len(rest.context["page"].cases)) == (25, 5)
