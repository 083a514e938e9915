"""The worker goes over to another version while it reads: no case is lost, none is read twice, and a bad version changes
nothing."""

import logging
import threading
from collections.abc import Iterator
from typing import Any, cast
from unittest import mock

import pytest
from django.db import OperationalError, connection
from pytest_django import Settings

from accounts.models import User
from diagnostics import metrics
from diagnostics.models import Case, Prediction, Worker
from diagnostics.pipeline import Pipeline
from diagnostics.services import heartbeat, serving
from diagnostics.services.serving import Serving
from mlmodel import api
from mlmodel.registry import InService
from tests.diagnostics.test_inference import all_final, stored
from tests.diagnostics.versions import Registry, VersionStub
from tests.servers import wait_until

BAD = [
    (api.ArtifactCorruptError("/secret/path has another SHA-256"), "2.0.0 is corrupt"),
    (api.ArtifactMissingError("/secret/path"), "2.0.0 is missing"),
    (api.ArtifactIncompatibleError("format 9"), "2.0.0 does not fit this software"),
    (MemoryError("engine"), "2.0.0 cannot be loaded"),
]


def test_a_look_that_finds_nothing_new_loads_nothing(held: Serving, registry: Registry) -> None:
    held.look()
    assert (held.version, registry.loads) == ("1.0.0", [])


def test_another_active_version_takes_the_place_and_the_old_one_is_closed(
    held: Serving, registry: Registry, first: VersionStub
) -> None:
    registry.wanted = InService("2.0.0")
    held.look()
    assert (held.version, first.closed) == ("2.0.0", 1)
    assert Worker.objects.get().model_version == "2.0.0"


def test_a_batch_ends_with_the_version_that_began_it(held: Serving, registry: Registry, first: VersionStub) -> None:
    batch = held.take()
    registry.wanted = InService("2.0.0")
    held.look()
    assert (batch.version, first.closed) == ("1.0.0", 0)
    assert held.take().version == "2.0.0"
    batch.give_back()
    assert first.closed == 1


@pytest.mark.parametrize(("error", "words"), BAD)
def test_a_version_that_cannot_be_served_leaves_the_old_one_and_is_logged_once(
    held: Serving,
    registry: Registry,
    first: VersionStub,
    error: Exception,
    words: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "RETRY_SECONDS", 0.0)
    registry.wanted, registry.versions["2.0.0"] = InService("2.0.0"), error
    for _ in range(3):
        held.look()
    assert (held.version, first.closed) == ("1.0.0", 0)
    assert Worker.objects.get().model_error == words
    assert heartbeat.model_trouble() == f"{words}, still serving 1.0.0"
    assert [record.levelno for record in caplog.records].count(logging.ERROR) == 1


def test_a_bad_version_is_not_tried_at_every_look(held: Serving, registry: Registry) -> None:
    registry.wanted, registry.versions["2.0.0"] = InService("2.0.0"), api.ArtifactCorruptError("x")
    for _ in range(5):
        held.look()
    assert registry.loads == ["2.0.0"]


def test_a_version_that_was_repaired_is_served_and_the_trouble_is_forgotten(
    held: Serving, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "RETRY_SECONDS", 0.0)
    registry.wanted, registry.versions["2.0.0"] = InService("2.0.0"), api.ArtifactCorruptError("x")
    held.look()
    registry.versions["2.0.0"] = VersionStub("2.0.0")
    held.look()
    assert (held.version, Worker.objects.get().model_error, heartbeat.model_trouble()) == ("2.0.0", "", "")


def test_going_back_while_a_version_is_bad_ends_the_trouble(held: Serving, registry: Registry) -> None:
    registry.wanted, registry.versions["2.0.0"] = InService("2.0.0"), api.ArtifactCorruptError("x")
    held.look()
    registry.wanted = InService("1.0.0")
    held.look()
    assert (held.version, heartbeat.model_trouble()) == ("1.0.0", "")


def test_a_version_that_does_not_warm_up_is_closed_again(held: Serving, registry: Registry) -> None:
    registry.wanted = InService("2.0.0")
    with mock.patch.object(VersionStub, "warm_up", side_effect=RuntimeError("no memory")):
        held.look()
    new = registry.versions["2.0.0"]
    assert isinstance(new, VersionStub)
    assert (held.version, new.closed) == ("1.0.0", 1)


def test_an_artifact_that_holds_another_version_is_not_served(held: Serving, registry: Registry) -> None:
    registry.wanted, registry.versions["2.0.0"] = InService("2.0.0"), VersionStub("3.0.0")
    held.look()
    assert (held.version, Worker.objects.get().model_error) == ("1.0.0", "2.0.0 is corrupt")


def test_files_that_are_damaged_under_a_running_worker_are_told_and_so_is_their_return(
    held: Serving, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "VERIFY_SECONDS", 0.0)
    held._verify_at = 0.0
    with mock.patch.object(api, "verify_version", side_effect=api.ArtifactCorruptError("x")) as verify:
        held.look()
        verify.assert_called_with("1.0.0")
    assert metrics.check_model() == "degraded: 1.0.0 is corrupt on disk, still serving 1.0.0"
    assert (held.version, registry.loads) == ("1.0.0", [])
    with mock.patch.object(api, "verify_version"):
        held.look()
    assert metrics.check_model() == "ok"


def test_a_database_that_does_not_answer_changes_no_version(held: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "versions_in_service", mock.Mock(side_effect=OperationalError("away")))
    with pytest.raises(OperationalError):
        held.look()
    assert held.version == "1.0.0"


def test_a_version_in_shadow_is_held_beside_and_let_go(held: Serving, registry: Registry) -> None:
    shadow = registry.versions["2.0.0"]
    registry.wanted = InService("1.0.0", "2.0.0")
    held.look()
    taken = held.take_shadow()
    assert taken is not None
    assert (held.version, taken.version) == ("1.0.0", "2.0.0")
    taken.give_back()
    registry.wanted = InService("1.0.0")
    held.look()
    assert held.take_shadow() is None
    assert isinstance(shadow, VersionStub)
    assert shadow.closed == 1


def test_a_shadow_that_cannot_be_loaded_is_no_trouble_of_the_service(held: Serving, registry: Registry) -> None:
    registry.wanted, registry.versions["2.0.0"] = InService("1.0.0", "2.0.0"), api.ArtifactCorruptError("x")
    held.look()
    assert held.take_shadow() is None
    assert heartbeat.model_trouble() == ""


def test_with_a_share_of_nothing_no_shadow_is_held(held: Serving, registry: Registry, settings: Settings) -> None:
    settings.SHADOW_SHARE = 0.0
    registry.wanted = InService("1.0.0", "2.0.0")
    held.look()
    assert registry.loads == []


def test_at_the_end_both_are_closed(held: Serving, registry: Registry, first: VersionStub) -> None:
    registry.wanted = InService("1.0.0", "2.0.0")
    held.look()
    held.stop()
    shadow = registry.versions["2.0.0"]
    assert isinstance(shadow, VersionStub)
    assert (first.closed, shadow.closed) == (1, 1)


@pytest.fixture
def running(
    first: VersionStub, registry: Registry, settings: Settings, monkeypatch: pytest.MonkeyPatch, transactional_db: None
) -> Iterator[Pipeline]:
    settings.WORKER_POLL_SECONDS, settings.WORKER_BATCH_SIZE = 0.02, 4
    monkeypatch.setattr(serving, "FOLLOW_SECONDS", 0.05)
    pipeline = Pipeline(predictor=cast("Any", first), name="pipeline:1", follows=True)
    pipeline.start()
    yield pipeline
    pipeline.stop()
    connection.close()


def test_no_case_is_lost_and_none_is_read_twice_while_the_version_changes_back_and_forth(
    running: Pipeline, registry: Registry, doctor: User
) -> None:
    made = []

    def next_version(version: str, **_: Any) -> VersionStub:
        made.append(VersionStub(version))
        return made[-1]

    with mock.patch.object(api, "load", side_effect=next_version):
        for n in range(120):
            stored(doctor, bytes([n]))
            if n % 20 == 10:
                registry.wanted = InService("2.0.0" if registry.wanted.active == "1.0.0" else "1.0.0")
                threading.Event().wait(0.15)
        wait_until(all_final, "the analysis of 120 cases", seconds=60)
    assert Case.objects.filter(state="done", attempt=1).count() == 120
    assert Prediction.objects.count() == 120
    assert set(Prediction.objects.values_list("model_version", flat=True)) == {"1.0.0", "2.0.0"}
    assert len(made) >= 5
    wait_until(lambda: sum(stub.closed for stub in made) == len(made) - 1, "the old ones' end", seconds=5)


def test_the_old_version_reads_while_the_new_one_loads(running: Pipeline, registry: Registry, doctor: User) -> None:
    loading, go_on = threading.Event(), threading.Event()

    def load_slowly(version: str, **_: Any) -> VersionStub:
        loading.set()
        go_on.wait(20)
        return VersionStub(version)

    with mock.patch.object(api, "load", side_effect=load_slowly):
        registry.wanted = InService("2.0.0")
        assert loading.wait(10)
        stored(doctor, b"a")
        wait_until(all_final, "the analysis", seconds=20)
        assert Prediction.objects.get().model_version == "1.0.0"
        go_on.set()
        wait_until(lambda: running._serving.version == "2.0.0", "the switch", seconds=10)


def test_a_worker_stopped_in_the_middle_of_a_switch_leaves_no_case_behind(
    running: Pipeline, registry: Registry, doctor: User
) -> None:
    with mock.patch.object(api, "load", side_effect=lambda version, **_: threading.Event().wait(0.5) or VersionStub(version)):
        for n in range(20):
            stored(doctor, bytes([n]))
        registry.wanted = InService("2.0.0")
        threading.Event().wait(0.1)
        running.stop()
    assert not Case.objects.filter(state="processing").exists()
    assert Prediction.objects.count() == Case.objects.filter(state="done").count()
