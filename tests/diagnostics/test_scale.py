"""What must not grow with the number of cases."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from diagnostics.models import Case, Patient, Prediction


def fill(doctor: User, count: int) -> None:
    """That many done cases with patients and predictions, one a minute."""
    now = timezone.now()
    patients = Patient.objects.bulk_create(
        Patient(hospital=doctor.hospital, record_number=f"MRN-{uuid4().hex[:12]}", name=f"Child {n}")
        for n in range(min(count, 500))
    )
    common: dict[str, Any] = {
        "hospital": doctor.hospital,
        "uploader": doctor,
        "state": "done",
        "display": "ready",
        "format": "JPEG",
        "size_bytes": 1,
        "width": 900,
        "height": 1024,
        "finished_at": now,
    }
    cases = Case.objects.bulk_create(
        (
            Case(
                **common,
                file_name=f"film-{n}.jpg",
                original_key=f"cases/{n}",
                sha256=uuid4().hex * 2,
                patient=patients[n % len(patients)],
                created_at=now - timedelta(minutes=n),
            )
            for n in range(count)
        ),
        batch_size=500,
    )
    result = {
        "model_version": "1",
        "probability": 0.9,
        "threshold": 0.5,
        "label": "PNEUMONIA",
        "engine": "x",
        "heatmap_key": "h",
    }
    Prediction.objects.bulk_create((Prediction(case=case, **result) for case in cases), batch_size=500)


def queries_of(client: Client, address: str) -> int:
    client.get(address)  # what is cached by the first request does not count
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


@pytest.mark.slow
def test_the_worklist_takes_the_same_queries_for_10_and_10_000_cases(client: Client, doctor: User) -> None:
    client.force_login(doctor)
    fill(doctor, 10)
    few = [queries_of(client, address) for address in ("/cases/", "/cases/?q=film-3")]
    fill(doctor, 9_990)
    many = [queries_of(client, address) for address in ("/cases/", "/cases/?q=film-3")]
    assert Case.objects.count() == 10_000
    # A full page knows that there is a next one without another query.
    assert many == few
