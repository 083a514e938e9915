"""Analysing again: by the version that is active now, and nothing that was said before is lost."""

from unittest import mock

import pytest

from accounts.models import User
from diagnostics import queue
from diagnostics.models import Case, Prediction
from diagnostics.services.reanalysis import can_be_reanalysed, reanalyse_case, reanalyse_cases
from diagnostics.services.reviews import record_review
from mlmodel import api
from tests.diagnostics.cases import make_case, make_prediction

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _version_two_is_active(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "active_version", lambda: "2.0.0")


def read_by(doctor: User, *versions: str, **columns: object) -> Case:
    case = make_case(doctor, state="done", **columns)
    for version in versions:
        make_prediction(case, model_version=version)
    return case


def test_a_case_that_an_earlier_version_read_is_queued_again(doctor: User) -> None:
    case = read_by(doctor, "1.0.0")
    assert can_be_reanalysed(case=case)
    assert reanalyse_case(case=case, user=doctor)
    case.refresh_from_db()
    assert (case.state, case.attempt, case.finished_at, case.first_viewed_at) == ("queued", 0, None, None)
    assert Prediction.objects.get().model_version == "1.0.0"


def test_a_case_that_the_active_version_has_read_is_left_alone(doctor: User) -> None:
    case = read_by(doctor, "1.0.0", "2.0.0")
    assert not can_be_reanalysed(case=case)
    assert not reanalyse_case(case=case, user=doctor)
    assert Case.objects.get().state == "done"


def test_a_reading_in_shadow_does_not_count(doctor: User) -> None:
    case = read_by(doctor, "1.0.0")
    make_prediction(case, model_version="2.0.0", is_shadow=True)
    assert reanalyse_case(case=case, user=doctor)


@pytest.mark.parametrize(("state", "again"), [("refused", True), ("failed", True), ("queued", False), ("processing", False)])
def test_what_has_no_reading_is_queued_if_it_is_final(doctor: User, state: str, again: bool) -> None:
    case = make_case(doctor, state=state)
    assert reanalyse_case(case=case, user=doctor) is again


def test_the_review_of_the_earlier_result_stays(doctor: User) -> None:
    case = read_by(doctor, "1.0.0")
    review = record_review(case=case, reviewer=doctor, verdict="agree", finding="PNEUMONIA", sign=True)
    reanalyse_case(case=case, user=doctor)
    case.refresh_from_db()
    assert case.review == review
    assert case.prediction == review.prediction


@pytest.mark.parametrize(("display", "then"), [("ready", "ready"), ("unavailable", "pending"), ("pending", "pending")])
def test_a_picture_that_is_drawn_stays(doctor: User, display: str, then: str) -> None:
    reanalyse_case(case=read_by(doctor, "1.0.0", display=display), user=doctor)
    assert Case.objects.get().display == then


def test_many_at_once_counts_those_that_qualified(doctor: User, django_capture_on_commit_callbacks: object) -> None:
    old = [read_by(doctor, "1.0.0") for _ in range(3)]
    read_by(doctor, "2.0.0")
    with mock.patch.object(queue, "ring") as ring, django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        assert reanalyse_cases(cases=Case.objects.all(), user=doctor) == 3
    assert {call.args[0] for call in ring.call_args_list} == {case.pk for case in old}


def test_a_second_request_for_the_same_case_finds_it_waiting(doctor: User) -> None:
    case = read_by(doctor, "1.0.0")
    assert [reanalyse_case(case=case, user=doctor) for _ in range(2)] == [True, False]
