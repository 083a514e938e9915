"""What goes wrong around the pipeline costs a moment or an attempt, never a case and never a stage."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast
from unittest import mock
from uuid import uuid4

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from diagnostics import storage
from diagnostics.exceptions import StorageUnavailableError
from diagnostics.models import Case, Prediction
from diagnostics.pipeline import Pipeline
from diagnostics.services import analysis, drawing, inference
from tests.diagnostics.cases import make_case
from tests.diagnostics.stub_model import CRASHES_THE_ENGINE, StubPredictor
from tests.diagnostics.test_inference import EXECUTOR, all_final, state_of, stored
from tests.servers import wait_until

MODEL = cast("Any", StubPredictor())


@pytest.fixture
def running(settings: Settings, transactional_db: None) -> Iterator[Pipeline]:
    settings.WORKER_POLL_SECONDS = 0.05
    pipeline = Pipeline(predictor=MODEL, name="pipeline:1")
    pipeline.start()
    yield pipeline
    pipeline.stop()
    connection.close()


def fail_once(real: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    errors = iter([error])

    def call(*given: Any, **named: Any) -> Any:
        for first in errors:
            raise first
        return real(*given, **named)

    return call


def test_cases_whose_reading_failed_leave_the_hands_so_that_their_leases_run_out(running: Pipeline, doctor: User) -> None:
    with mock.patch.object(inference, "read_batch", side_effect=fail_once(inference.read_batch, RuntimeError("unforeseen"))):
        case = stored(doctor, b"a")
        wait_until(lambda: state_of(case)[0] == "processing", "the claim", seconds=20)
        wait_until(lambda: not running._in_hand, "that the case is put down", seconds=5)
    Case.objects.update(lease_until=timezone.now())
    assert analysis.give_up_expired_leases() == (1, 0)
    wait_until(all_final, "the second try", seconds=20)


def test_beside_a_film_on_its_last_attempt_nothing_is_claimed(running: Pipeline, doctor: User) -> None:
    """Or a film that ends workers would take its neighbours' attempts with its own."""
    release, infer = threading.Event(), StubPredictor.infer

    def wait_and_infer(stub: StubPredictor, films: Any) -> Any:
        release.wait(20)
        return infer(stub, films)

    with mock.patch.object(StubPredictor, "infer", wait_and_infer):
        suspect = stored(doctor, b"a", attempt=2)
        wait_until(lambda: state_of(suspect)[0] == "processing", "the last attempt", seconds=20)
        neighbour = stored(doctor, b"b")
        with mock.patch.object(running, "_storage_answers", return_value=True) as looks:
            wait_until(lambda: looks.call_count > 2, "three looks at the queue", seconds=20)
        assert Case.objects.get(pk=neighbour.pk).attempt == 0
        release.set()
        wait_until(all_final, "the end of both", seconds=20)


def test_a_database_that_fails_during_inference_ends_no_stage(running: Pipeline, doctor: User) -> None:
    gone = fail_once(analysis.release_case, OperationalError("server closed the connection"))
    with mock.patch.object(analysis, "release_case", side_effect=gone):
        stored(doctor, CRASHES_THE_ENGINE)
        wait_until(lambda: Case.objects.filter(attempt=1).exists() and not running._in_hand, "the first try", seconds=20)
    later = stored(doctor, b"a")
    wait_until(lambda: state_of(later)[0] == "done", "the next film", seconds=20)


def test_an_outage_of_the_storage_does_not_use_up_the_attempts(running: Pipeline, doctor: User) -> None:
    down = StorageUnavailableError("down")
    with mock.patch.object(storage, "save_film", side_effect=down), mock.patch.object(storage, "read_film", side_effect=down):
        case = make_case(doctor, id=uuid4())
        wait_until(lambda: state_of(case) == ("queued", "") and running._storage_failed.is_set(), "the outage", seconds=20)
        threading.Event().wait(1)  # twenty looks at the queue
        assert Case.objects.get(pk=case.pk).attempt == 1
    good = stored(doctor, b"a")
    wait_until(lambda: state_of(good)[0] == "done", "the return of the storage", seconds=20)


def test_a_storage_that_takes_no_heatmap_does_not_use_up_the_attempts(running: Pipeline, doctor: User) -> None:
    case = stored(doctor, b"a")
    with mock.patch.object(storage, "save_derived", side_effect=StorageUnavailableError("full")):
        wait_until(running._storage_failed.is_set, "the outage", seconds=20)
        threading.Event().wait(1)
        assert state_of(case) == ("queued", "")
        assert Case.objects.get(pk=case.pk).attempt < 3
    wait_until(lambda: state_of(case)[0] == "done", "the return of the storage", seconds=20)


def test_a_picture_that_fails_unforeseen_keeps_no_case_waiting(running: Pipeline, doctor: User) -> None:
    with mock.patch.object(StubPredictor, "render_display", side_effect=RuntimeError("unforeseen")):
        stored(doctor, b"opened", state="done", display="pending", first_viewed_at=timezone.now())
        case = stored(doctor, b"a")
        wait_until(lambda: state_of(case)[0] == "done", "the analysis", seconds=20)


def test_a_listener_whose_connection_broke_is_well_again_at_the_next_call(doctor: User, transactional_db: None) -> None:
    idle = Pipeline(predictor=MODEL, name="pipeline:2")
    Case.objects.exists()
    with mock.patch.object(Case.objects, "queued", side_effect=OperationalError("the connection is closed")):
        idle.wait_until_idle(seconds=1)
    assert connection.connection is None
    idle.wait_until_idle(seconds=1)


def test_putting_down_an_old_claim_keeps_a_later_one_of_the_same_row(doctor: User) -> None:
    idle = Pipeline(predictor=MODEL, name="pipeline:2")
    row = make_case(doctor)
    old, new = Case.objects.get(pk=row.pk), Case.objects.get(pk=row.pk)
    idle._take([old])
    idle._take([new])
    idle._put_down([old])
    assert idle._in_hand == {row.pk: new}
    idle._put_down([new])
    assert not idle._in_hand


@pytest.mark.django_db(transaction=True)
def test_a_result_whose_commit_was_not_answered_keeps_its_heatmap(doctor: User) -> None:
    stored(doctor, b"a")
    cases = analysis.claim_cases(worker="w:1", limit=8)
    batch = inference.read_batch(cases=cases, predictor=MODEL, executor=EXECUTOR)
    inference.infer_batch(batch=batch, predictor=MODEL)
    for _ in range(2):  # the stage tries again after an error, and cannot know that the first commit happened
        inference.store_batch(batch=batch, executor=EXECUTOR)
    assert storage.films().exists(Prediction.objects.get().heatmap_key)


@pytest.mark.django_db(transaction=True)
def test_the_threads_that_fetch_and_draw_hold_no_database_connection(doctor: User) -> None:
    """Theirs would be renewed by nobody after the database was away, and the worker would claim nothing ever after."""
    stored(doctor, b"a", state="done", display="pending")
    make_case(doctor)  # its film is missing
    with ThreadPoolExecutor(1) as executor:
        drawing.draw_displays(cases=Case.objects.without_display(), limit=1, predictor=MODEL, executor=executor)
        cases = analysis.claim_cases(worker="w:1", limit=8)
        inference.read_batch(cases=cases, predictor=MODEL, executor=executor)
        assert executor.submit(lambda: connection.connection).result() is None
    assert sorted(Case.objects.values_list("state", "display")) == [("done", "ready"), ("failed", "unavailable")]
