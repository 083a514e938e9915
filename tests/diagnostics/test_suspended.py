"""While no version is in service films are kept and read unseen; once one is back they are analysed, without a restart."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any, cast
from unittest import mock

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from diagnostics import storage
from diagnostics import worker as worker_module
from diagnostics.models import Case, Prediction, Worker
from diagnostics.pipeline import Pipeline
from diagnostics.services import analysis, serving
from diagnostics.services.serving import Serving
from diagnostics.services.shadowing import read_next_waiting
from diagnostics.services.versions import waits_since, withdrawal_of
from mlmodel import api
from mlmodel.decoder_pool import DecoderPool
from mlmodel.models import ModelVersion, ShadowTally, VersionEvent
from mlmodel.registry import InService
from mlmodel.services.lifecycle import Act, roll_back, suspend
from tests.diagnostics.cases import make_case, make_prediction
from tests.diagnostics.stub_model import CRASHES_THE_ENGINE, STRANGE, StubPredictor
from tests.diagnostics.test_inference import all_final, stored
from tests.diagnostics.versions import Registry, VersionStub, enter_version
from tests.mlmodel.test_decoder_pool import POISON, harmed
from tests.monitoring.samples import fresh_figures
from tests.servers import wait_until

NONE = InService(None, "1.0.0", "1.0.0", timezone.now())


def test_the_suspended_version_stays_in_hand_as_the_one_in_shadow(held: Serving, registry: Registry) -> None:
    registry.wanted = NONE
    held.look()
    shadow = held.take_shadow()
    assert shadow is not None
    assert (held.is_suspended, held.version, shadow.version, registry.loads) == (True, "", "1.0.0", [])
    assert Worker.objects.get().model_version == ""


def test_another_version_in_shadow_takes_its_place_and_the_old_one_is_closed(
    held: Serving, registry: Registry, first: VersionStub
) -> None:
    registry.wanted = InService(None, "2.0.0", "1.0.0", timezone.now())
    held.look()
    shadow = held.take_shadow()
    assert shadow is not None
    assert (shadow.version, first.closed) == ("2.0.0", 1)


def test_the_version_comes_back_without_being_loaded_again(held: Serving, registry: Registry) -> None:
    registry.wanted = NONE
    held.look()
    registry.wanted = InService("1.0.0")
    held.look()
    assert (held.is_suspended, held.version, registry.loads) == (False, "1.0.0", [])
    assert Worker.objects.get().model_version == "1.0.0"


def test_a_version_that_cannot_be_loaded_leaves_the_worker_suspended(held: Serving, registry: Registry) -> None:
    registry.wanted = NONE
    held.look()
    registry.wanted, registry.versions["2.0.0"] = InService("2.0.0", "1.0.0"), api.ArtifactCorruptError("x")
    held.look()
    assert (held.is_suspended, held.version) == (True, "")  # and never reads with the one that was withdrawn
    assert Worker.objects.get().model_error == "2.0.0 is corrupt"


def test_no_case_is_claimed_by_whichever_worker(doctor: User) -> None:
    case = make_case(doctor)
    enter_version("1.0.0", "active")
    suspend(version="1.0.0", act=Act(None, reason="Stop rule: drift."))
    assert analysis.claim_cases(worker="w:1", limit=8) == []
    case.refresh_from_db()
    assert (case.state, case.attempt, case.lease_until) == ("queued", 0, None)


@pytest.fixture
def running(
    first: VersionStub, registry: Registry, settings: Settings, monkeypatch: pytest.MonkeyPatch, transactional_db: None
) -> Iterator[Pipeline]:
    settings.WORKER_POLL_SECONDS, settings.WORKER_BATCH_SIZE = 0.02, 4
    monkeypatch.setattr(serving, "FOLLOW_SECONDS", 0.05)
    for version in ("1.0.0", "2.0.0"):
        enter_version(version, "candidate")
    pipeline = Pipeline(predictor=cast("Any", first), name="pipeline:1", follows=True)
    pipeline.start()
    yield pipeline
    pipeline.stop()
    connection.close()


def test_films_that_come_meanwhile_are_read_unseen_and_analysed_once_a_version_is_back(
    running: Pipeline, registry: Registry, doctor: User
) -> None:
    registry.wanted = NONE
    wait_until(lambda: running._serving.is_suspended, "the suspension", seconds=10)
    for n in range(6):
        stored(doctor, bytes([n]))
    wait_until(lambda: Prediction.objects.count() == 6, "the readings in shadow", seconds=20)
    assert set(Prediction.objects.values_list("model_version", "is_shadow")) == {("1.0.0", True)}
    assert set(Case.objects.values_list("state", "attempt")) == {("queued", 0)}
    registry.wanted = InService("2.0.0", "1.0.0")
    wait_until(all_final, "the analysis", seconds=20)
    assert set(Case.objects.values_list("state", "attempt")) == {("done", 1)}
    assert Prediction.objects.filter(model_version="2.0.0", is_shadow=False).count() == 6
    assert {case.result.model_version for case in Case.objects.all() if case.result} == {"2.0.0"}


def test_the_same_version_put_back_analyses_what_it_has_read_unseen(
    running: Pipeline, registry: Registry, doctor: User
) -> None:
    registry.wanted = NONE
    wait_until(lambda: running._serving.is_suspended, "the suspension", seconds=10)
    stored(doctor, b"a")
    wait_until(Prediction.objects.exists, "the reading in shadow", seconds=20)
    registry.wanted = InService("1.0.0")
    wait_until(all_final, "the analysis", seconds=20)
    assert Prediction.objects.get().is_shadow is False


def test_a_film_is_not_read_by_the_withdrawn_version_while_the_next_one_cannot_be_loaded(
    running: Pipeline, registry: Registry, doctor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "RETRY_SECONDS", 0.1)
    registry.wanted = NONE
    wait_until(lambda: running._serving.is_suspended, "the suspension", seconds=10)
    registry.versions["2.0.0"] = api.ArtifactCorruptError("x")
    registry.wanted = InService("2.0.0", "1.0.0")
    case = stored(doctor, b"a")
    wait_until(lambda: Worker.objects.get().model_error > "", "the trouble", seconds=10)
    wait_until(Prediction.objects.exists, "the reading in shadow", seconds=20)
    case.refresh_from_db()
    assert (case.state, case.attempt, Prediction.objects.get().is_shadow) == ("queued", 0, True)
    registry.versions["2.0.0"] = VersionStub("2.0.0")
    wait_until(all_final, "the analysis", seconds=20)
    assert Case.objects.get().result.model_version == "2.0.0"  # type: ignore[union-attr]


def drawn() -> int:
    return Case.objects.filter(display="ready").count()


def test_waiting_films_have_their_pictures_drawn_once_and_are_analysed_as_ever(
    running: Pipeline, registry: Registry, doctor: User, settings: Settings
) -> None:
    settings.SHADOW_SHARE = 0.0
    registry.wanted = NONE
    wait_until(lambda: running._serving.is_suspended, "the suspension", seconds=10)
    with mock.patch.object(StubPredictor, "render_display", autospec=True, side_effect=StubPredictor.render_display) as render:
        for n in range(6):
            stored(doctor, bytes([n]))
        wait_until(lambda: drawn() == 6, "the pictures", seconds=20)
        assert set(Case.objects.values_list("state", "attempt", "lease_until")) == {("queued", 0, None)}
        registry.wanted = InService("2.0.0", "1.0.0")
        wait_until(all_final, "the analysis", seconds=20)
        running.wait_until_idle(seconds=10)
        assert render.call_count == 6
    assert set(Case.objects.values_list("state", "attempt", "display")) == {("done", 1, "ready")}
    assert Prediction.objects.count() == 6


def test_films_without_a_picture_are_drawn_before_any_is_read_in_shadow(first: VersionStub, doctor: User) -> None:
    enter_version("1.0.0", "shadow")
    stored(doctor, b"a")
    idle = Pipeline(predictor=cast("Any", first), name="pipeline:1", follows=True, suspended=True)
    assert not idle._read_next_in_shadow()
    Case.objects.update(display="ready")
    assert idle._read_next_in_shadow()
    assert Prediction.objects.exists()


def test_a_film_that_kills_its_decoding_child_is_tried_once_and_the_others_are_drawn(
    running: Pipeline, registry: Registry, doctor: User, first: VersionStub, film_jpeg: bytes
) -> None:
    """By the real children, in one of which a film does what a hostile one may do to a C library."""
    pool = DecoderPool(2, command=harmed("ctypes.string_at(0)"))
    registry.wanted = NONE
    wait_until(lambda: running._serving.is_suspended, "the suspension", seconds=10)
    try:
        with mock.patch.object(first, "render_display", side_effect=pool.render_display) as render:
            good, bad = stored(doctor, film_jpeg), stored(doctor, POISON)
            pictures = Case.objects.exclude(display="pending").values_list("pk", "display")
            wait_until(lambda: pictures.count() == 2, "the pictures", seconds=60)
            threading.Event().wait(0.3)  # some more looks at what waits
            assert render.call_count == 2
    finally:
        pool.close()
    assert dict(pictures) == {good.pk: "ready", bad.pk: "unavailable"}
    assert set(Case.objects.values_list("state", "attempt")) == {("queued", 0)}
    assert storage.read_film(storage.display_key(good.pk)).startswith(b"\x89PNG")


def test_a_worker_that_is_called_does_not_wait_for_films_that_it_may_not_read(
    running: Pipeline, registry: Registry, doctor: User
) -> None:
    registry.wanted = NONE
    wait_until(lambda: running._serving.is_suspended, "the suspension", seconds=10)
    make_case(doctor)
    before = timezone.now()
    running.wait_until_idle(seconds=20)
    assert timezone.now() - before < timedelta(seconds=10)


def test_a_worker_that_starts_meanwhile_holds_the_version_in_shadow(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, db: None
) -> None:
    made: list[dict[str, Any]] = []

    class Started(Pipeline):
        def __init__(self, **options: Any) -> None:
            made.append(options)
            super().__init__(**options)

        def start(self) -> None:
            """Nothing runs."""

    monkeypatch.setattr(worker_module, "Pipeline", Started)
    monkeypatch.setattr(api, "load", VersionStub)
    monkeypatch.setattr(worker_module, "_state", {})
    registry.wanted = InService(None, "2.0.0", "1.0.0", timezone.now())
    pipeline = worker_module.start_pipeline()
    assert (made[0]["predictor"].info.version, made[0]["suspended"]) == ("2.0.0", True)
    assert pipeline._serving.is_suspended


def read_waiting(shadow: VersionStub) -> int:
    return sum(1 for _ in iter(partial(read_next_waiting, predictor=cast("Any", shadow)), False))


def test_waiting_films_are_each_read_once_and_touched_in_nothing(doctor: User) -> None:
    enter_version("1.0.0", "shadow")
    cases = [stored(doctor, content) for content in (b"a", STRANGE, CRASHES_THE_ENGINE, b"b")]
    before = list(Case.objects.order_by("pk").values())
    assert read_waiting(VersionStub("1.0.0")) == 4
    assert read_waiting(VersionStub("1.0.0")) == 0
    assert set(Prediction.objects.values_list("case", "is_shadow")) == {(cases[0].pk, True), (cases[3].pk, True)}
    tally = ShadowTally.objects.get()
    assert (tally.against, tally.n, tally.refused) == ("", 0, 1)
    assert list(Case.objects.order_by("pk").values()) == before


def test_with_a_share_of_nothing_none_is_read(doctor: User, settings: Settings) -> None:
    settings.SHADOW_SHARE = 0.0
    enter_version("1.0.0", "shadow")
    stored(doctor, b"a")
    read_waiting(VersionStub("1.0.0"))
    assert not Prediction.objects.exists()


# What is told of it in numbers


@pytest.fixture
def suspended(operator: User, tmp_path: Any, settings: Settings) -> str:
    """The shipped version is out of service since an hour."""
    settings.MODEL_DIR = tmp_path / "models"
    version = api.active_version()
    suspend(version=version, act=Act(None, reason="Stop rule: drift."))
    an_hour_ago = timezone.now() - timedelta(hours=1)
    VersionEvent.objects.filter(kind="suspended").update(at=an_hour_ago)
    ModelVersion.objects.update(suspended_at=an_hour_ago)
    return version


def put_back(version: str) -> None:
    ModelVersion.objects.filter(version=version).update(state="active", suspended_at=None, activated_at=timezone.now())
    row = ModelVersion.objects.get(version=version)
    VersionEvent.objects.create(version=row, kind="activated", from_state="shadow", to_state="active")


def test_no_film_counts_as_delayed_while_and_because_service_was_suspended(suspended: str, doctor: User) -> None:
    make_case(doctor, queued_at=timezone.now() - timedelta(minutes=30))
    registry = fresh_figures()
    assert registry.get_sample_value("portal_analysis_suspended") == 1
    assert registry.get_sample_value("portal_oldest_waiting_seconds") == 0
    assert registry.get_sample_value("portal_cases", {"state": "queued"}) == 1
    assert registry.get_sample_value("portal_model_info", {"version": suspended}) == 0
    put_back(suspended)
    registry = fresh_figures()
    assert registry.get_sample_value("portal_analysis_suspended") == 0
    assert (registry.get_sample_value("portal_oldest_waiting_seconds") or 0) < 60
    assert registry.get_sample_value("portal_model_info", {"version": suspended}) == 1


def test_the_time_to_a_result_leaves_the_suspension_out(suspended: str) -> None:
    queued_at = timezone.now() - timedelta(minutes=30)
    assert waits_since(queued_at) == queued_at
    put_back(suspended)
    assert timezone.now() - waits_since(queued_at) < timedelta(minutes=1)
    later = timezone.now() + timedelta(minutes=1)
    assert waits_since(later) == later


def test_only_results_from_before_the_version_was_put_back_were_withdrawn(suspended: str, doctor: User) -> None:
    (since,) = VersionEvent.objects.filter(kind="suspended").values_list("at", flat=True)
    early = timezone.now() - timedelta(hours=2)
    before = make_prediction(make_case(doctor, state="done"), model_version=suspended, created_at=early)
    other = make_prediction(make_case(doctor, state="done"), model_version="0.9.0", created_at=early)
    assert (withdrawal_of(before), withdrawal_of(other)) == (since, None)
    put_back(suspended)
    after = make_prediction(make_case(doctor, state="done"), model_version=suspended)
    assert (withdrawal_of(before), withdrawal_of(after)) == (since, None)


def test_a_rollback_ends_it_for_the_next_claim(doctor: User, operator: User) -> None:
    make_case(doctor)
    for version in ("1.0.0", "2.0.0"):
        row = enter_version(version, "retired")
        VersionEvent.objects.create(version=row, kind="activated", to_state="active")
    ModelVersion.objects.filter(version="2.0.0").update(state="active")
    suspend(version="2.0.0", act=Act(None, reason="Stop rule: drift."))
    assert analysis.claim_cases(worker="w:1", limit=8) == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlmodel.services.lifecycle._is_whole", lambda _: True)
        roll_back(act=Act(operator))
    assert len(analysis.claim_cases(worker="w:1", limit=8)) == 1
