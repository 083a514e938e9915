"""What was being typed when a session ended comes back, to its author alone."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from diagnostics.models import Case, UnsavedReview
from diagnostics.services.reconciliation import reconcile
from tests.diagnostics.cases import make_case, make_prediction
from tests.trail import trail

TYPED = {"finding": "UNCERTAIN", "verdict": "disagree", "note": "Thymus, perhaps. Ask the"}


@pytest.fixture
def case(doctor: User) -> Case:
    found = make_case(doctor, state="done")
    make_prediction(found)
    return found


def keep(client: Client, case: Case, **fields: str) -> int:
    return client.post(reverse("diagnostics:unsaved_review", args=[case.pk]), TYPED | fields).status_code


def page(client: Client, case: Case) -> str:
    return client.get(case.get_absolute_url()).content.decode()


def test_it_comes_back_to_its_author_and_to_nobody_else(client: Client, doctor: User, colleague: User, case: Case) -> None:
    client.force_login(doctor)
    assert keep(client, case, judged=str(case.prediction.pk)) == 204  # type: ignore[union-attr]
    client.force_login(colleague)
    assert TYPED["note"] not in page(client, case)
    client.force_login(doctor)
    shown = page(client, case)
    assert TYPED["note"] in shown
    assert "It is not saved as a review yet" in shown
    form = client.get(case.get_absolute_url()).context["review_form"]
    assert form["verdict"].value() == "disagree"


def test_it_is_no_review(client: Client, doctor: User, case: Case) -> None:
    client.force_login(doctor)
    keep(client, case)
    assert not case.reviews.exists()


def test_the_last_state_counts(client: Client, doctor: User, case: Case) -> None:
    client.force_login(doctor)
    keep(client, case)
    keep(client, case, note="Thymus.")
    assert UnsavedReview.objects.get().note == "Thymus."


def test_what_is_wiped_out_is_not_kept(client: Client, doctor: User, case: Case) -> None:
    client.force_login(doctor)
    keep(client, case)
    assert keep(client, case, finding="", verdict="", note="") == 204
    assert not UnsavedReview.objects.exists()


def test_half_a_form_is_kept_too(client: Client, doctor: User, case: Case) -> None:
    client.force_login(doctor)
    assert keep(client, case, finding="", verdict="") == 204


def test_a_verdict_on_another_result_is_not_restored(client: Client, doctor: User, case: Case) -> None:
    client.force_login(doctor)
    keep(client, case, judged=str(case.prediction.pk))  # type: ignore[union-attr]
    make_prediction(case, model_version="2.0.0")
    form = client.get(case.get_absolute_url()).context["review_form"]
    assert form["note"].value() == TYPED["note"]
    assert not form["verdict"].value()


def test_a_saved_review_takes_its_place(client: Client, doctor: User, case: Case) -> None:
    client.force_login(doctor)
    keep(client, case)
    form = {**TYPED, "judged": str(case.prediction.pk), "sign": "true"}  # type: ignore[union-attr]
    assert client.post(reverse("diagnostics:review", args=[case.pk]), form).status_code == 302
    assert not UnsavedReview.objects.exists()


def test_after_a_week_it_is_gone(client: Client, doctor: User, case: Case) -> None:
    client.force_login(doctor)
    keep(client, case)
    UnsavedReview.objects.update(saved_at=timezone.now() - timedelta(days=8))
    assert TYPED["note"] not in page(client, case)
    reconcile()
    assert not UnsavedReview.objects.exists(), "also where its author does not come back"


def test_strangers_keep_nothing_here(client: Client, stranger: User, case: Case) -> None:
    client.force_login(stranger)
    assert keep(client, case) == 404
    assert trail() == ["access_denied denied by stranger"]
