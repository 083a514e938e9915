"""The row is the queue: claims, fences, leases, attempts. These run on SQLite and, in the integration tests, on PostgreSQL."""

from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from diagnostics import storage
from diagnostics.models import Case, Prediction
from diagnostics.services import analysis, drawing
from diagnostics.services.administration import cancel_case, requeue_case
from diagnostics.services.analysis import Result
from mlmodel import api
from tests.diagnostics.cases import make_case

FINDING = api.Finding(0.9, "PNEUMONIA", 0.5, "1.0.0", b"png", None, api.Timings(decode=7.0, infer=20.0))


def claim(limit: int = 8, worker: str = "w:1") -> list[Case]:
    return analysis.claim_cases(worker=worker, limit=limit)


def test_a_claim_takes_the_longest_waiting_first(doctor: User) -> None:
    now = timezone.now()
    late, early = (make_case(doctor, queued_at=now - timedelta(seconds=age)) for age in (1, 9))
    assert claim(limit=1) == [early]
    assert claim(limit=1) == [late]


def test_a_claim_sets_state_attempt_worker_and_lease_together(doctor: User) -> None:
    make_case(doctor)
    (case,) = claim()
    case.refresh_from_db()
    assert (case.state, case.attempt, case.worker) == ("processing", 1, "w:1")
    assert case.lease_until is not None
    assert case.lease_until > timezone.now() + timedelta(seconds=20)


def test_a_claimed_case_is_claimed_by_nobody_else(doctor: User) -> None:
    make_case(doctor)
    assert len(claim(worker="w:1")) == 1
    assert claim(worker="w:2") == []


def test_a_case_that_was_interrupted_before_is_taken_alone(doctor: User) -> None:
    now = timezone.now()
    suspect = make_case(doctor, attempt=1, queued_at=now - timedelta(seconds=9))
    others = [make_case(doctor) for _ in range(3)]
    assert claim() == [suspect]
    assert set(claim()) == set(others)


def test_a_last_attempt_waits_until_the_worker_has_nothing_else_in_hand(doctor: User) -> None:
    now = timezone.now()
    suspect = make_case(doctor, attempt=2, queued_at=now - timedelta(seconds=9))
    make_case(doctor)
    assert analysis.claim_cases(worker="w:1", limit=8, hands_free=False) == []
    assert analysis.claim_cases(worker="w:1", limit=8, hands_free=True) == [suspect]


def test_an_attempt_that_is_not_the_last_does_not_wait(doctor: User) -> None:
    suspect = make_case(doctor, attempt=1)
    assert analysis.claim_cases(worker="w:1", limit=8, hands_free=False) == [suspect]


def test_a_suspect_behind_fresh_cases_does_not_join_their_batch(doctor: User) -> None:
    fresh = make_case(doctor, queued_at=timezone.now() - timedelta(seconds=9))
    suspect = make_case(doctor, attempt=2)
    assert claim() == [fresh]
    assert claim() == [suspect]


def test_a_finding_is_stored_with_its_prediction(doctor: User) -> None:
    make_case(doctor)
    (case,) = claim()
    assert analysis.store_results(results=[Result(case, FINDING, "openvino", "heatmaps/x")]) == 1
    case.refresh_from_db()
    prediction = Prediction.objects.get()
    assert (case.state, case.lease_until) == ("done", None)
    assert case.finished_at is not None
    assert (prediction.probability, prediction.label, prediction.model_version) == (0.9, "PNEUMONIA", "1.0.0")
    assert prediction.timings["infer"] == 20.0


def test_a_refusal_is_stored_with_its_code(doctor: User) -> None:
    make_case(doctor)
    (case,) = claim()
    analysis.store_results(results=[Result(case, api.refusal("LATERAL_VIEW"), "openvino")])
    case.refresh_from_db()
    assert (case.state, case.refusal_code, case.display) == ("refused", "LATERAL_VIEW", "pending")


def test_the_registry_is_asked_once_for_a_batch(
    doctor: User, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    for _ in range(3):
        make_case(doctor)
    suspensions = mock.Mock(return_value=[])
    monkeypatch.setattr(api, "suspensions", suspensions)
    with django_capture_on_commit_callbacks(execute=True):
        refused = [Result(case, api.refusal("LATERAL_VIEW"), "openvino") for case in claim()]
        assert analysis.store_results(results=refused) == 3
    suspensions.assert_called_once()


def test_an_unreadable_film_is_not_waited_for_on_the_screen(doctor: User) -> None:
    make_case(doctor)
    (case,) = claim()
    analysis.store_results(results=[Result(case, api.refusal("UNREADABLE"), "openvino")])
    case.refresh_from_db()
    assert case.is_settled


def test_a_worker_that_was_given_up_cannot_write(doctor: User) -> None:
    make_case(doctor)
    (stale,) = claim(worker="zombie:1")
    Case.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert analysis.give_up_expired_leases() == (1, 0)
    (current,) = claim(worker="w:2")
    storage.save_derived("heatmaps/zombie", b"png")
    with_other_number = api.Finding(0.1, "NORMAL", 0.5, "1.0.0", b"png", None, api.Timings())
    stored = analysis.store_results(results=[Result(stale, with_other_number, "openvino", "heatmaps/zombie")])
    assert stored == 0
    assert not Prediction.objects.exists()
    assert analysis.store_results(results=[Result(current, FINDING, "openvino", "heatmaps/x")]) == 1
    assert Prediction.objects.get().probability == 0.9


@pytest.mark.django_db(transaction=True)
def test_the_heatmap_of_a_dropped_result_is_removed(doctor: User) -> None:
    make_case(doctor)
    (case,) = claim()
    cancel_case(case=case)
    storage.save_derived("heatmaps/late", b"png")
    analysis.store_results(results=[Result(case, FINDING, "openvino", "heatmaps/late")])
    assert not storage.films().exists("heatmaps/late")


def test_after_a_requeue_an_old_claim_of_the_same_attempt_is_fenced_off(doctor: User) -> None:
    make_case(doctor)
    (stale,) = claim(worker="zombie:1")
    cancel_case(case=stale)
    requeue_case(case=stale)
    (current,) = claim(worker="w:2")
    assert stale.attempt == current.attempt == 1
    assert analysis.store_results(results=[Result(stale, FINDING, "openvino")]) == 0


def test_one_bad_row_does_not_spoil_its_batch(doctor: User) -> None:
    for _ in range(3):
        make_case(doctor)
    cases = claim()
    impossible = api.Finding(1.5, "PNEUMONIA", 0.5, "1.0.0", b"png", None, api.Timings())
    outcomes = [FINDING, impossible, FINDING]
    results = [Result(case, outcome, "openvino") for case, outcome in zip(cases, outcomes, strict=True)]
    assert analysis.store_results(results=results) == 2
    states = [Case.objects.get(pk=case.pk) for case in cases]
    assert [(case.state, case.failure_code) for case in states] == [("done", ""), ("failed", "INTERNAL"), ("done", "")]


def test_the_same_pixels_in_another_file_are_linked_when_they_are_known(doctor: User) -> None:
    first = make_case(doctor, state="done", pixel_sha256="b" * 64)
    case = make_case(doctor, state="done", display="pending")
    drawing.set_display(case=case, display="ready", pixel_sha256="b" * 64)
    case.refresh_from_db()
    assert (case.duplicate_of, case.pixel_sha256) == (first, "b" * 64)


def test_a_transient_error_gives_the_case_back(doctor: User) -> None:
    make_case(doctor)
    (case,) = claim()
    analysis.release_case(case=case, code="STORAGE")
    case.refresh_from_db()
    assert (case.state, case.attempt) == ("queued", 1)


def test_the_last_attempt_ends_in_the_codes_failure(doctor: User, settings: Settings) -> None:
    make_case(doctor, attempt=settings.ANALYSIS_MAX_ATTEMPTS - 1)
    (case,) = claim()
    analysis.release_case(case=case, code="STORAGE")
    case.refresh_from_db()
    assert (case.state, case.failure_code) == ("failed", "STORAGE")


def test_a_lease_that_is_renewed_is_not_given_up(doctor: User) -> None:
    make_case(doctor)
    (case,) = claim()
    Case.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    analysis.renew_leases(cases=[case])
    assert analysis.give_up_expired_leases() == (0, 0)


def test_a_case_whose_worker_is_lost_three_times_fails(doctor: User) -> None:
    case = make_case(doctor)
    outcomes = []
    for _ in range(3):
        claim()
        Case.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        outcomes.append(analysis.give_up_expired_leases())
    case.refresh_from_db()
    assert outcomes == [(1, 0), (1, 0), (0, 1)]
    assert (case.state, case.failure_code, case.attempt) == ("failed", "WORKER_LOST", 3)


@pytest.mark.parametrize("state", ["failed", "refused"])
def test_a_failed_or_refused_case_can_be_analysed_again(doctor: User, state: str) -> None:
    case = make_case(doctor, state=state)
    assert requeue_case(case=case)
    case.refresh_from_db()
    assert (case.state, case.attempt, case.refusal_code, case.failure_code) == ("queued", 0, "", "")


@pytest.mark.parametrize("state", ["queued", "processing", "done"])
def test_what_is_under_way_or_done_is_not_requeued(doctor: User, state: str) -> None:
    assert not requeue_case(case=make_case(doctor, state=state))


def test_a_cancelled_case_stays_cancelled_when_its_result_comes(doctor: User) -> None:
    make_case(doctor)
    (case,) = claim()
    assert cancel_case(case=case)
    assert analysis.store_results(results=[Result(case, FINDING, "openvino")]) == 0
    case.refresh_from_db()
    assert (case.state, case.failure_code) == ("failed", "CANCELLED")


def test_a_final_case_is_not_cancelled(doctor: User) -> None:
    assert not cancel_case(case=make_case(doctor, state="done"))
