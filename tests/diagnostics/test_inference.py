"""The pipeline around the model: neighbours unharmed, transient errors wait, pictures follow. The model is a stub here."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from unittest import mock
from uuid import uuid4

import pytest
from django.conf import settings as portal_settings
from django.db import OperationalError, connection
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from diagnostics import pipeline as pipeline_module
from diagnostics import storage
from diagnostics.exceptions import StorageUnavailableError
from diagnostics.models import Case, GateOverride, Patient, Prediction
from diagnostics.pipeline import Pipeline
from diagnostics.services import analysis, drawing, inference
from diagnostics.services.inference import admit_by_age
from mlmodel import api
from tests.diagnostics.cases import make_case
from tests.diagnostics.stub_model import CRASHES_THE_ENGINE, INFO, STRANGE, UNREADABLE, StubPredictor, decoded, probability_of
from tests.servers import wait_until


@pytest.fixture
def stub() -> StubPredictor:
    return StubPredictor()


@pytest.fixture
def model(stub: StubPredictor) -> Any:
    return cast("Any", stub)


class SameThread(ThreadPoolExecutor):
    """Django's test transaction belongs to one thread, so here the work is done in it."""

    def map(self, fn: Callable[..., Any], *iterables: Any, **_: Any) -> Iterator[Any]:
        return map(fn, *iterables)


EXECUTOR = SameThread(1)


def stored(doctor: User, content: bytes, **columns: Any) -> Case:
    """A case whose film is there before its row, as in the portal."""
    case_id = uuid4()
    storage.save_derived(storage.original_key(case_id), content)
    return make_case(doctor, id=case_id, sha256=hashlib.sha256(content).hexdigest(), **columns)


def run_batch(model: Any) -> None:
    cases = analysis.claim_cases(worker="w:1", limit=8)
    batch = inference.read_batch(cases=cases, predictor=model, executor=EXECUTOR)
    inference.infer_batch(batch=batch, predictor=model)
    inference.store_batch(batch=batch, executor=EXECUTOR)


def state_of(case: Case) -> tuple[str, str]:
    row = Case.objects.get(pk=case.pk)
    return row.state, row.refusal_code or row.failure_code


def test_a_batch_is_one_forward_pass_and_every_case_gets_its_own_result(doctor: User, stub: StubPredictor, model: Any) -> None:
    cases = [stored(doctor, bytes([n])) for n in range(5)]
    run_batch(model)
    assert stub.batches == [5]
    for n, case in enumerate(cases):
        assert Prediction.objects.get(case=case).probability == probability_of(bytes([n]))


def test_an_unreadable_film_is_refused_and_its_neighbours_are_done(doctor: User, model: Any) -> None:
    good, bad, also_good = (stored(doctor, content) for content in (b"a", UNREADABLE, b"b"))
    run_batch(model)
    assert [state_of(case) for case in (good, bad, also_good)] == [("done", ""), ("refused", "UNREADABLE"), ("done", "")]


def test_a_film_that_the_gate_refuses_after_the_forward_pass_keeps_its_picture(doctor: User, model: Any) -> None:
    strange, fine = stored(doctor, STRANGE), stored(doctor, b"film")
    run_batch(model)
    assert [state_of(strange), state_of(fine)] == [("refused", "OUT_OF_DISTRIBUTION"), ("done", "")]
    assert drawing.draw_displays(cases=Case.objects.without_display(), limit=8, predictor=model, executor=EXECUTOR) == 2


def test_a_refusal_that_a_radiologist_set_aside_is_passed_and_stays_with_the_result(doctor: User, model: Any) -> None:
    strange = stored(doctor, STRANGE)
    GateOverride.objects.create(case=strange, code="OUT_OF_DISTRIBUTION", reason="known device", decided_by=doctor)
    run_batch(model)
    assert state_of(strange) == ("done", "")
    assert Prediction.objects.get(case=strange).flags == ["OUT_OF_DISTRIBUTION"]


def test_a_film_that_fails_the_engine_fails_alone(doctor: User, stub: StubPredictor, model: Any) -> None:
    good, bad = stored(doctor, b"a"), stored(doctor, CRASHES_THE_ENGINE)
    run_batch(model)
    assert state_of(good) == ("done", "")
    assert state_of(bad) == ("queued", "")
    for _ in range(2):
        run_batch(model)
    assert state_of(bad) == ("failed", "INTERNAL")
    assert stub.batches[:3] == [2, 1, 1]


def test_a_damaged_film_fails_with_its_code(doctor: User, model: Any, tmp_path: Path) -> None:
    case = stored(doctor, b"a")
    (tmp_path / "media" / case.original_key).write_bytes(b"b")
    run_batch(model)
    assert state_of(case) == ("failed", "FILM_DAMAGED")


def test_with_storage_down_the_case_waits(doctor: User, model: Any) -> None:
    case = stored(doctor, b"a")
    with mock.patch.object(storage, "read_film", side_effect=StorageUnavailableError("down")):
        run_batch(model)
    assert state_of(case) == ("queued", "")
    run_batch(model)
    assert state_of(case) == ("done", "")


def test_a_heatmap_that_cannot_be_stored_leaves_no_result_without_picture(doctor: User, model: Any) -> None:
    """Nor does it use up the attempts, however often it happens: a disk that is nearly full still takes the probe."""
    case = stored(doctor, b"a")
    with mock.patch.object(storage, "save_derived", side_effect=StorageUnavailableError("full")):
        for _ in range(portal_settings.ANALYSIS_MAX_ATTEMPTS + 1):
            run_batch(model)
    assert state_of(case) == ("queued", "")
    assert not Prediction.objects.exists()
    run_batch(model)
    assert state_of(case) == ("done", "")


@pytest.mark.parametrize(
    ("born", "uploaded", "taken", "admitted"),
    [
        ("2025-03-01", "2026-03-01", "", True),  # 365 days old, and one year
        ("2025-03-01", "2026-02-28", "", False),
        ("2020-03-01", "2026-02-28", "", True),
        ("2020-03-01", "2026-03-01", "", False),
        ("2012-03-01", "2026-03-01", "2016-05-05", True),  # an old film, of when the patient was a child
        ("2022-03-01", "2026-03-01", "2022-05-05", False),
        ("2022-03-01", "2026-03-01", "2031-01-01", True),  # no film is of tomorrow, nor of before its patient's birth
        ("2022-03-01", "2026-03-01", "1990-01-01", True),
        ("2022-03-01", "2026-03-01", "no date", True),
    ],
)
def test_a_patient_is_as_old_as_on_the_day_of_the_film(
    doctor: User, born: str, uploaded: str, taken: str, admitted: bool
) -> None:
    patient = Patient(hospital=doctor.hospital, record_number="MRN-7", birth_date=date.fromisoformat(born))
    case = Case(patient=patient, created_at=datetime.fromisoformat(f"{uploaded}T12:00:00+00:00"))
    film = replace(decoded(b"a"), study_date=taken)
    expected = film if admitted else api.refusal("AGE_OUT_OF_RANGE")
    assert admit_by_age(case, film, INFO.intended_use) == expected
    set_aside = replace(film, overridden=frozenset({"AGE_OUT_OF_RANGE"}))
    assert admit_by_age(case, set_aside, INFO.intended_use) is set_aside


@pytest.mark.parametrize(
    ("years", "expected"),
    [(0.5, "refused"), (1.1, "done"), (5.9, "done"), (6.1, "refused"), (61, "refused")],
)
def test_the_patients_age_is_held_against_the_intended_use(doctor: User, model: Any, years: float, expected: str) -> None:
    birth_date: date = (timezone.now() - timedelta(days=years * 365.25)).date()
    patient = Patient.objects.create(hospital=doctor.hospital, record_number="MRN-7", birth_date=birth_date)
    case = stored(doctor, b"a", patient=patient)
    run_batch(model)
    assert state_of(case)[0] == expected
    assert state_of(case)[1] == ("AGE_OUT_OF_RANGE" if expected == "refused" else "")


def test_the_picture_is_drawn_after_the_result(doctor: User, model: Any) -> None:
    case = stored(doctor, b"a")
    run_batch(model)
    assert not Case.objects.get(pk=case.pk).is_settled
    assert drawing.draw_displays(cases=Case.objects.without_display(), limit=2, predictor=model, executor=EXECUTOR) == 1
    assert Case.objects.get(pk=case.pk).is_settled
    assert storage.read_film(storage.display_key(case.pk)) == b"png of a"
    assert drawing.draw_displays(cases=Case.objects.without_display(), limit=2, predictor=model, executor=EXECUTOR) == 0


def test_a_picture_that_somebody_waits_for_is_drawn_before_the_others(doctor: User, model: Any) -> None:
    opened = stored(doctor, b"a", state="done", display="pending", first_viewed_at=timezone.now())
    stored(doctor, b"b", state="done", display="pending")
    waited_for = Case.objects.without_display().opened()
    assert drawing.draw_displays(cases=waited_for, limit=2, predictor=model, executor=EXECUTOR) == 1
    assert Case.objects.get(display="ready") == opened


def test_a_picture_that_cannot_be_drawn_is_not_tried_for_ever(doctor: User, model: Any) -> None:
    case = stored(doctor, UNREADABLE, state="refused", display="pending")
    assert drawing.draw_displays(cases=Case.objects.without_display(), limit=2, predictor=model, executor=EXECUTOR) == 1
    assert Case.objects.get(pk=case.pk).display == "unavailable"


@pytest.fixture
def pipeline(model: Any, settings: Settings, transactional_db: None) -> Iterator[Pipeline]:
    settings.WORKER_POLL_SECONDS = 0.05
    running = Pipeline(predictor=model, name="pipeline:1")
    running.start()
    yield running
    running.stop()
    connection.close()


def all_final() -> bool:
    return not Case.objects.exclude(pk__in=Case.objects.final()).exists()


def test_the_pipeline_finds_cases_without_any_call(pipeline: Pipeline, doctor: User) -> None:
    for n in range(20):
        stored(doctor, bytes([n]))
    wait_until(all_final, "the analysis of 20 cases", seconds=20)
    assert Prediction.objects.count() == 20


def test_a_database_that_goes_away_for_a_moment_costs_no_case(pipeline: Pipeline, doctor: User) -> None:
    real = analysis.store_results
    failures = iter([OperationalError("server closed the connection"), None])

    def fail_once(**given: Any) -> int:
        error = next(failures, None)
        if error:
            raise error
        return real(**given)

    with mock.patch.object(analysis, "store_results", side_effect=fail_once):
        stored(doctor, b"a")
        wait_until(all_final, "the analysis", seconds=20)
    assert Prediction.objects.count() == 1


def test_decoding_children_that_cannot_start_cost_no_attempt(pipeline: Pipeline, doctor: User, settings: Settings) -> None:
    failing = mock.patch.object(StubPredictor, "decode", side_effect=api.DecoderUnavailableError("no memory"))
    with mock.patch.object(pipeline_module, "DECODERS_RETRY_SECONDS", 0.05), failing as decode:
        case = stored(doctor, b"a")
        wait_until(lambda: decode.call_count > 2 * settings.ANALYSIS_MAX_ATTEMPTS, "many tries", seconds=20)
    wait_until(all_final, "the analysis", seconds=20)
    assert state_of(case) == ("done", "")
    assert Case.objects.get(pk=case.pk).attempt == 1


def test_a_polite_stop_finishes_what_is_in_hand(pipeline: Pipeline, doctor: User) -> None:
    for n in range(30):
        stored(doctor, bytes([n]))
    wait_until(Prediction.objects.exists, "the first result", seconds=20)
    pipeline.stop()
    assert not Case.objects.filter(state="processing").exists()
