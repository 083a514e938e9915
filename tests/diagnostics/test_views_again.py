"""Analysing again and setting a refusal aside: who may, what it does, and what the page says afterwards."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from diagnostics.exceptions import TransitionError
from diagnostics.models import Case, GateOverride
from diagnostics.services.overrides import override_refusal
from diagnostics.services.reviews import record_review
from mlmodel import api
from tests.diagnostics.cases import make_case, make_prediction

REASON = "Rotated film of a child with scoliosis."


def read_before(doctor: User, **columns: Any) -> Case:
    """Analysed by a version that is not in service any more."""
    case = make_case(doctor, state="done", **columns)
    make_prediction(case, model_version="0.9.0", probability=0.81, created_at=timezone.now() - timedelta(days=40))
    return case


def page_of(client: Client, user: User, case: Case) -> str:
    client.force_login(user)
    return client.get(case.get_absolute_url()).content.decode()


def post(client: Client, user: User, name: str, case: Case, **data: str) -> Any:
    client.force_login(user)
    return client.post(reverse(f"diagnostics:{name}", args=[case.pk]), data)


def test_a_film_that_another_version_read_may_be_analysed_again(client: Client, doctor: User) -> None:
    case = read_before(doctor)
    assert f"Analyse again with version {api.active_version()}" in page_of(client, doctor, case)
    answer = post(client, doctor, "analyse_again", case)
    assert answer.headers["Location"] == case.get_absolute_url()
    case.refresh_from_db()
    assert (case.state, case.predictions.count()) == ("queued", 1)
    assert "0.9.0" in page_of(client, doctor, case)


def test_a_film_that_the_active_version_read_is_left_alone(client: Client, doctor: User) -> None:
    case = make_case(doctor, state="done")
    make_prediction(case, model_version=api.active_version())
    assert "Analyse again" not in page_of(client, doctor, case)
    post(client, doctor, "analyse_again", case)
    case.refresh_from_db()
    assert case.state == "done"


@pytest.mark.parametrize(("code", "offered"), [("INTERNAL", True), ("STORAGE", True), ("FILM_DAMAGED", False)])
def test_a_failure_is_repeated_where_that_can_help(client: Client, doctor: User, code: str, offered: bool) -> None:
    text = page_of(client, doctor, make_case(doctor, state="failed", failure_code=code))
    assert ("Analyse again" in text) == offered


def test_a_refusal_by_the_version_in_service_is_not_asked_for_twice(client: Client, doctor: User) -> None:
    assert "Analyse again" not in page_of(client, doctor, make_case(doctor, state="refused"))


@pytest.mark.parametrize("name", ["analyse_again", "override"])
def test_strangers_wrong_roles_wrong_methods_and_missing_cases(
    client: Client, name: str, doctor: User, stranger: User, radiologist: User, operator: User, admin_user: User
) -> None:
    case = make_case(doctor, state="refused", refusal_code="OUT_OF_DISTRIBUTION")
    address = reverse(f"diagnostics:{name}", args=[case.pk])
    assert client.post(address).headers["Location"].startswith("/accounts/login/")
    User.objects.filter(pk=stranger.pk).update(role="radiologist")
    stranger.refresh_from_db()
    assert post(client, stranger, name, case, reason=REASON).status_code == 404
    for user in (operator, admin_user):
        assert post(client, user, name, case, reason=REASON).status_code == 403
    client.force_login(radiologist)
    assert client.get(address).status_code == 405
    assert client.post(reverse(f"diagnostics:{name}", args=["00000000-0000-0000-0000-000000000000"])).status_code == 404
    case.refresh_from_db()
    assert (case.state, case.overrides.count()) == ("refused", 0)


def test_every_result_stays_listed_with_its_own_threshold_and_its_own_review(client: Client, doctor: User) -> None:
    case = read_before(doctor)
    record_review(case=case, reviewer=doctor, verdict="agree", finding="PNEUMONIA", sign=True)
    make_prediction(case, model_version="1.0.0", probability=0.24, threshold=0.31)
    make_prediction(case, model_version="2.0.0", probability=0.99, is_shadow=True)
    text = page_of(client, doctor, Case.objects.get(pk=case.pk))
    results = text[text.index("Results of this film") :]
    for fact in ("24.0 %", "31.0 %", "81.0 %", "50.0 %", "Version 1.0.0", "Version 0.9.0", "a newer analysis exists"):
        assert fact in results, fact
    assert "2.0.0" not in text
    assert "99.0 %" not in text
    assert "PRELIMINARY" in text
    assert "has signed a review of an earlier result" in text


def test_a_single_result_has_no_history(client: Client, doctor: User) -> None:
    assert "Results of this film" not in page_of(client, doctor, read_before(doctor))


def test_a_result_that_came_meanwhile_is_not_signed_unseen(client: Client, doctor: User) -> None:
    case = read_before(doctor)
    seen = case.result
    assert seen is not None
    assert str(seen.pk) in page_of(client, doctor, case)
    make_prediction(case, model_version="1.0.0", probability=0.24)
    form = {"verdict": "disagree", "finding": "PNEUMONIA", "judged": str(seen.pk), "sign": "true"}
    answer = post(client, doctor, "review", case, **form)
    assert answer.status_code == 422
    assert "has changed meanwhile" in answer.content.decode()
    assert not case.reviews.exists()


def test_a_radiologist_sets_a_refusal_aside_and_the_result_says_so(client: Client, doctor: User, radiologist: User) -> None:
    case = make_case(doctor, state="refused", refusal_code="OUT_OF_DISTRIBUTION")
    assert "Have it read all the same" in page_of(client, radiologist, case)
    assert post(client, radiologist, "override", case, reason=REASON).status_code == 302
    case.refresh_from_db()
    assert (case.state, case.refusal_code, case.display) == ("queued", "", "ready")
    Case.objects.filter(pk=case.pk).update(state="done", finished_at=timezone.now())
    make_prediction(case, flags=["OUT_OF_DISTRIBUTION"])
    text = page_of(client, doctor, case)
    assert "was set aside by" in text
    assert str(radiologist) in text
    assert REASON in text
    assert api.describe_flag("OUT_OF_DISTRIBUTION") not in text


def test_a_doctor_hears_that_a_radiologist_may_and_has_no_button(client: Client, doctor: User) -> None:
    case = make_case(doctor, state="refused", refusal_code="OUT_OF_DISTRIBUTION")
    text = page_of(client, doctor, case)
    assert "A radiologist can have this film read all the same" in text
    assert reverse("diagnostics:override", args=[case.pk]) not in text
    assert post(client, doctor, "override", case, reason=REASON).status_code == 403


@pytest.mark.parametrize("reason", ["", "too short", " " * 40])
def test_an_override_needs_a_reason(client: Client, doctor: User, radiologist: User, reason: str) -> None:
    case = make_case(doctor, state="refused", refusal_code="OUT_OF_DISTRIBUTION")
    answer = post(client, radiologist, "override", case, reason=reason)
    assert answer.status_code == 422
    assert "Give the reason" in answer.content.decode()
    assert not GateOverride.objects.exists()


def test_a_film_that_cannot_be_read_at_all_cannot_be_overridden(client: Client, doctor: User, radiologist: User) -> None:
    case = make_case(doctor, state="refused", refusal_code="UNREADABLE")
    assert "all the same" not in page_of(client, radiologist, case)
    post(client, radiologist, "override", case, reason=REASON)
    case.refresh_from_db()
    assert (case.state, case.overrides.count()) == ("refused", 0)


def test_the_same_refusal_is_set_aside_once_and_another_one_after_it(doctor: User, radiologist: User) -> None:
    case = make_case(doctor, state="refused", refusal_code="OUT_OF_DISTRIBUTION")
    override_refusal(case=case, radiologist=radiologist, reason=REASON)
    Case.objects.filter(pk=case.pk).update(
        state="refused", refusal_code="OUT_OF_DISTRIBUTION", finished_at=timezone.now(), lease_until=None
    )
    case.refresh_from_db()
    with pytest.raises(TransitionError, match="set aside before"):
        override_refusal(case=case, radiologist=radiologist, reason=REASON)
    Case.objects.filter(pk=case.pk).update(refusal_code="LATERAL_VIEW")
    case.refresh_from_db()
    override_refusal(case=case, radiologist=radiologist, reason=REASON)
    assert set(case.overrides.values_list("code", flat=True)) == {"OUT_OF_DISTRIBUTION", "LATERAL_VIEW"}


def test_a_refusal_that_has_changed_meanwhile_is_not_set_aside(doctor: User, radiologist: User) -> None:
    case = make_case(doctor, state="refused", refusal_code="OUT_OF_DISTRIBUTION")
    Case.objects.filter(pk=case.pk).update(refusal_code="LATERAL_VIEW")
    with pytest.raises(TransitionError, match="any more"):
        override_refusal(case=case, radiologist=radiologist, reason=REASON)
    assert not GateOverride.objects.exists()


def test_flags_are_warnings_in_words_and_the_heat_is_told_where_it_is_known(client: Client, doctor: User) -> None:
    case = make_case(doctor, state="done")
    make_prediction(case, flags=["OUT_OF_DISTRIBUTION", "HEAT_OUTSIDE_LUNGS"], heat_in_lung=0.384)
    text = page_of(client, doctor, case)
    assert "The film is unlike most of those the model was trained on. Do not rely on the result." in text
    assert "Most of what spoke for pneumonia lies outside the lungs. Do not rely on the result." in text
    assert "38 % of the heat lies inside the lung field" in text
    plain = make_case(doctor, state="done")
    make_prediction(plain)
    assert "of the heat lies inside" not in page_of(client, doctor, plain)
