"""What a process counts while it works: each event once, and only what was committed."""

from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
import requests
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings
from redis.exceptions import ConnectionError as RedisDown

from accounts.models import User
from diagnostics import queue, storage
from diagnostics.exceptions import StorageUnavailableError, UploadRefusedError
from diagnostics.models import Case
from diagnostics.monitoring.instruments import start_exporter
from diagnostics.services import analysis, inference
from diagnostics.services.reconciliation import reconcile
from diagnostics.services.viewing import view_case
from mlmodel import api
from tests.diagnostics.cases import make_case, upload
from tests.diagnostics.stub_model import UNREADABLE, decoded
from tests.monitoring.samples import counted, read_page
from tests.servers import free_port

Commit = DjangoCaptureOnCommitCallbacks


def finding(probability: float = 0.9) -> api.Finding:
    timings = api.Timings(decode=40, infer=200, heatmap=3)
    return api.Finding(probability, "PNEUMONIA", 0.5, "test-version", b"", None, timings)


def claimed(doctor: User, **columns: Any) -> Case:
    return make_case(doctor, state="processing", lease_until=timezone.now() + timedelta(minutes=1), **columns)


def test_a_stored_result_is_observed_once_however_often_it_is_written(
    doctor: User, django_capture_on_commit_callbacks: Commit
) -> None:
    case = claimed(doctor, queued_at=timezone.now() - timedelta(seconds=8))
    result = analysis.Result(case, finding(), "test")
    before = counted("portal_result_seconds_count"), counted("portal_result_seconds_sum")
    for _ in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            analysis.store_results(results=[result])
    assert counted("portal_result_seconds_count") == before[0] + 1
    assert counted("portal_result_seconds_sum") - before[1] == pytest.approx(8, abs=3)
    assert counted("portal_predictions_total", version="test-version", label="PNEUMONIA") == 1
    assert counted("portal_score_bucket", version="test-version", le="0.8") == 0
    assert counted("portal_score_bucket", version="test-version", le="0.9") == 1


def test_what_is_rolled_back_was_never_counted(doctor: User, django_capture_on_commit_callbacks: Commit) -> None:
    before = counted("portal_result_seconds_count")
    with django_capture_on_commit_callbacks(execute=False):
        analysis.store_results(results=[analysis.Result(claimed(doctor), finding(), "test")])
    assert counted("portal_result_seconds_count") == before


def test_decode_and_inference_times_are_in_seconds(doctor: User, django_capture_on_commit_callbacks: Commit) -> None:
    before = {stage: counted("portal_stage_seconds_sum", stage=stage) for stage in ("decode", "infer", "heatmap")}
    with django_capture_on_commit_callbacks(execute=True):
        analysis.store_results(results=[analysis.Result(claimed(doctor), finding(), "test")])
    spent = {stage: round(counted("portal_stage_seconds_sum", stage=stage) - since, 6) for stage, since in before.items()}
    assert spent == {"decode": 0.04, "infer": 0.2, "heatmap": 0.003}


def test_refusals_are_counted_by_code_where_they_were_made(
    doctor: User, film_jpeg: bytes, django_capture_on_commit_callbacks: Commit
) -> None:
    reading = {"at": "reading", "code": "LATERAL_VIEW"}
    upload_ = {"at": "upload", "code": "UNSUPPORTED_FORMAT"}
    before = counted("portal_refusals_total", **reading), counted("portal_refusals_total", **upload_)
    with django_capture_on_commit_callbacks(execute=True):
        analysis.store_results(results=[analysis.Result(claimed(doctor), api.refusal("LATERAL_VIEW"), "test")])
    with pytest.raises(UploadRefusedError):
        upload(doctor, b"%PDF-1.7 a renamed document")
    upload(doctor, film_jpeg)
    assert counted("portal_refusals_total", **reading) == before[0] + 1
    assert counted("portal_refusals_total", **upload_) == before[1] + 1


def test_a_failure_is_counted_only_by_the_one_who_holds_the_case(doctor: User) -> None:
    case, before = claimed(doctor), counted("portal_failures_total", code="STORAGE")
    assert analysis.fail_case(case=case, code="STORAGE")
    assert not analysis.fail_case(case=case, code="STORAGE")
    assert counted("portal_failures_total", code="STORAGE") == before + 1
    case.refresh_from_db()
    assert (case.state, case.failure_code) == ("failed", "STORAGE")


def test_the_first_view_is_observed_and_no_other(
    doctor: User, colleague: User, stranger: User, django_capture_on_commit_callbacks: Commit
) -> None:
    case = make_case(doctor, state="done", finished_at=timezone.now() - timedelta(minutes=10))
    before = counted("portal_first_view_seconds_count"), counted("portal_first_view_seconds_sum")
    for viewer in (stranger, doctor, colleague):
        with django_capture_on_commit_callbacks(execute=True):
            view_case(case=Case.objects.get(pk=case.pk), viewer=viewer)
    assert counted("portal_first_view_seconds_count") == before[0] + 1
    assert counted("portal_first_view_seconds_sum") - before[1] == pytest.approx(600, abs=10)


def test_a_forward_pass_says_how_many_films_it_took() -> None:
    before = counted("portal_batch_films_sum")
    films: list[Any] = [(mock.Mock(), decoded(UNREADABLE, frozenset()))] * 3
    predictor = mock.Mock(infer=mock.Mock(return_value=[api.refusal("LATERAL_VIEW")] * 3), engine="x")
    inference.infer_batch(batch=inference.Batch([], films=films), predictor=predictor)
    inference.infer_batch(batch=inference.Batch([]), predictor=predictor)  # nothing was read: no pass
    assert counted("portal_batch_films_sum") == before + 3


def test_calls_that_redis_could_not_be_told_are_lost_and_reconcile_repairs_them(doctor: User) -> None:
    make_case(doctor, queued_at=timezone.now() - timedelta(minutes=10))
    lost, repaired = counted("portal_wakeups_lost_total"), counted("portal_wakeups_repaired_total")
    with mock.patch.object(queue, "analysis_queue", side_effect=RedisDown):
        reconcile()
    queue._breaker.reset()
    assert counted("portal_wakeups_lost_total") == lost + 1
    assert counted("portal_wakeups_repaired_total") == repaired
    with mock.patch.object(queue, "analysis_queue"):
        reconcile()
    assert counted("portal_wakeups_repaired_total") == repaired + 1
    assert counted("portal_reconciled_timestamp_seconds") == pytest.approx(timezone.now().timestamp(), abs=60)


def test_expired_leases_are_counted_by_what_became_of_them(doctor: User, settings: Settings) -> None:
    over = timezone.now() - timedelta(minutes=5)
    make_case(doctor, state="processing", lease_until=over)
    make_case(doctor, state="processing", lease_until=over, attempt=settings.ANALYSIS_MAX_ATTEMPTS)
    before = {outcome: counted("portal_leases_expired_total", outcome=outcome) for outcome in ("requeued", "failed")}
    with mock.patch.object(queue, "ring", return_value=True):
        reconcile()
    assert {outcome: counted("portal_leases_expired_total", outcome=outcome) - since for outcome, since in before.items()} == {
        "requeued": 1,
        "failed": 1,
    }


def test_a_storage_that_does_not_answer_is_counted_by_what_was_asked() -> None:
    before = counted("portal_storage_errors_total", operation="saving")
    with mock.patch.object(storage.films(), "save", side_effect=OSError), pytest.raises(StorageUnavailableError):
        storage.save_derived("heatmaps/x", b"x")
    assert counted("portal_storage_errors_total", operation="saving") == before + 1


def test_an_exporter_answers_on_loopback_and_a_taken_port_costs_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    start_exporter(port)
    page = read_page(requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text)
    assert "portal_batch_films_count" in page
    assert "portal_oldest_waiting_seconds" not in page  # from the rows: a web process tells it
    start_exporter(port)
    assert "no metrics" in caplog.text
    start_exporter(0)
