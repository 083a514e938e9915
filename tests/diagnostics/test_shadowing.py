"""A version in shadow: it reads what the active version has read, only in idle time, and no doctor ever sees it."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, cast
from unittest import mock

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from accounts.tokens import create_api_token
from diagnostics import storage
from diagnostics.exceptions import StorageUnavailableError
from diagnostics.models import Case, GateOverride, Prediction
from diagnostics.pipeline import Pipeline
from diagnostics.services import analysis, serving
from diagnostics.services.analysis import Result
from diagnostics.services.shadowing import read_next_in_shadow
from mlmodel import api
from mlmodel.models import ShadowTally
from mlmodel.registry import InService
from tests.diagnostics.cases import make_case, make_prediction
from tests.diagnostics.stub_model import STRANGE, UNREADABLE, probability_of
from tests.diagnostics.test_inference import all_final, stored
from tests.diagnostics.versions import Registry, VersionStub, enter_version
from tests.servers import wait_until


@pytest.fixture
def shadow(db: None) -> VersionStub:
    """2.0.0 is in shadow beside 1.0.0 since a minute, and 0.2 more confident."""
    enter_version("1.0.0", "active")
    ShadowTally.objects.create(
        version=enter_version("2.0.0", "shadow"), against="1.0.0", started_at=timezone.now() - timedelta(minutes=1)
    )
    return VersionStub("2.0.0", shift=0.2)


def read_all(shadow: VersionStub) -> int:
    return sum(1 for _ in iter(lambda: read_next_in_shadow(predictor=cast("Any", shadow), against="1.0.0"), False))


def read_by_active(doctor: User, content: bytes, **columns: Any) -> Case:
    case = stored(doctor, content, state="done", **columns)
    make_prediction(case, probability=probability_of(content), model_version="1.0.0")
    return case


def test_what_the_active_version_read_is_read_once_and_counted(doctor: User, shadow: VersionStub) -> None:
    cases = [read_by_active(doctor, bytes([n])) for n in range(4)]
    assert read_all(shadow) == 4
    assert read_all(shadow) == 0
    rows = Prediction.objects.filter(is_shadow=True)
    assert {row.case_id for row in rows} == {case.pk for case in cases}
    assert {(row.model_version, row.heatmap_key) for row in rows} == {("2.0.0", "")}
    tally = ShadowTally.objects.get()
    moved = [min(probability_of(bytes([n])) + 0.2, 1.0) - probability_of(bytes([n])) for n in range(4)]
    assert (tally.n, tally.refused) == (4, 0)
    assert tally.difference == pytest.approx(sum(moved))
    agreed = [probability_of(bytes([n])) >= 0.5 or probability_of(bytes([n])) + 0.2 < 0.5 for n in range(4)]
    assert tally.agreed == sum(agreed)


def test_films_read_before_it_was_in_shadow_are_left(doctor: User, shadow: VersionStub) -> None:
    old = read_by_active(doctor, b"a")
    Prediction.objects.filter(case=old).update(created_at=timezone.now() - timedelta(hours=1))
    assert read_all(shadow) == 0


def test_films_that_another_version_read_are_left(doctor: User, shadow: VersionStub) -> None:
    make_prediction(stored(doctor, b"a", state="done"), model_version="0.9.0")
    assert read_all(shadow) == 0


@pytest.mark.parametrize("content", [UNREADABLE, STRANGE])
def test_a_refusal_by_the_shadow_is_counted_and_touches_no_case(doctor: User, shadow: VersionStub, content: bytes) -> None:
    case = read_by_active(doctor, content)
    assert read_all(shadow) == 1
    assert (ShadowTally.objects.get().refused, ShadowTally.objects.get().n) == (1, 0)
    assert Case.objects.get() == case
    assert Case.objects.get().state == "done"


def test_what_a_radiologist_set_aside_is_set_aside_for_the_shadow_too(
    doctor: User, radiologist: User, shadow: VersionStub
) -> None:
    case = read_by_active(doctor, STRANGE)
    GateOverride.objects.create(case=case, code="OUT_OF_DISTRIBUTION", reason="it is a chest", decided_by=radiologist)
    read_all(shadow)
    assert ShadowTally.objects.get().n == 1


def test_a_film_that_fails_the_shadow_is_not_met_again(doctor: User, shadow: VersionStub) -> None:
    read_by_active(doctor, b"poison")
    good = read_by_active(doctor, b"good")
    assert read_all(shadow) == 2
    assert Prediction.objects.get(is_shadow=True).case == good
    assert Case.objects.filter(state="done").count() == 2


def test_with_the_storage_away_films_wait_for_the_shadow(doctor: User, shadow: VersionStub) -> None:
    read_by_active(doctor, b"a")
    with mock.patch.object(storage, "read_film", side_effect=StorageUnavailableError("down")):
        assert read_all(shadow) == 0
    assert read_all(shadow) == 1


def test_a_share_of_the_films_is_drawn_by_their_ids(doctor: User, shadow: VersionStub, settings: Settings) -> None:
    settings.SHADOW_SHARE = 0.5
    for n in range(60):
        read_by_active(doctor, bytes([n]))
    assert read_all(shadow) == 60  # looked at, and half of them read
    assert 15 <= len(shadow.films) <= 45


def test_two_workers_read_no_film_twice(doctor: User, shadow: VersionStub) -> None:
    read_by_active(doctor, b"a")
    stale = api.open_shadow_run(version="2.0.0", against="1.0.0")
    assert read_all(shadow) == 1
    with mock.patch.object(api, "open_shadow_run", return_value=stale):
        read_next_in_shadow(predictor=cast("Any", shadow), against="1.0.0")
    assert shadow.films == [b"a"]
    assert ShadowTally.objects.get().n == 1


def test_a_version_promoted_from_shadow_reads_the_film_for_all_to_see(doctor: User, shadow: VersionStub) -> None:
    case = read_by_active(doctor, b"a")
    read_all(shadow)
    Case.objects.update(state="processing", lease_until=timezone.now(), finished_at=None, attempt=1, worker="w:1")
    case.refresh_from_db()
    finding = api.Finding(0.9, "PNEUMONIA", 0.5, "2.0.0", b"png", None, api.Timings())
    storage.save_derived("heatmaps/x.png", b"png")
    assert analysis.store_results(results=[Result(case, finding, "stub", "heatmaps/x.png")]) == 1
    row = Prediction.objects.get(model_version="2.0.0")
    assert (row.is_shadow, row.heatmap_key, row.probability) == (False, "heatmaps/x.png", 0.9)


@pytest.mark.django_db(transaction=True)
def test_a_version_that_read_the_case_before_leaves_no_second_heatmap(doctor: User) -> None:
    case = stored(doctor, b"a", state="processing")
    make_prediction(case, model_version="2.0.0", probability=0.7)
    storage.save_derived("heatmaps/x.png", b"png")
    finding = api.Finding(0.9, "PNEUMONIA", 0.5, "2.0.0", b"png", None, api.Timings())
    analysis.store_results(results=[Result(case, finding, "stub", "heatmaps/x.png")])
    assert Prediction.objects.get().probability == 0.7
    assert not storage.films().exists("heatmaps/x.png")


def test_no_page_list_or_answer_shows_what_the_shadow_said(
    client: Client, doctor: User, radiologist: User, admin_user: User, shadow: VersionStub
) -> None:
    case = read_by_active(doctor, b"a")
    make_prediction(case, probability=0.123456, model_version="2.0.0-unseen", is_shadow=True)
    assert case.prediction is not None
    assert case.prediction.model_version == "1.0.0"
    _, token = create_api_token(user=doctor, days=1)
    answer = client.get(f"/api/v1/cases/{case.pk}", headers={"Authorization": f"Bearer {token}"})
    assert answer.json()["prediction"]["model_version"] == "1.0.0"
    pages = [json.dumps(answer.json())]
    own = f"/cases/{case.pk}/"
    for user, addresses in (
        (doctor, ["/cases/", own, f"{own}status/"]),
        (radiologist, ["/cases/", own]),
        (admin_user, ["/admin/diagnostics/prediction/", f"/admin/diagnostics/case/{case.pk}/change/", "/cases/", own]),
    ):
        client.force_login(user)
        for address in addresses:
            opened = client.get(address)
            assert opened.status_code == 200, address
            pages.append(opened.content.decode())
    assert not [page for page in pages if "unseen" in page or "0.123" in page or "12.3" in page]


@pytest.fixture
def running(
    shadow: VersionStub, settings: Settings, monkeypatch: pytest.MonkeyPatch, transactional_db: None
) -> Iterator[Pipeline]:
    settings.WORKER_POLL_SECONDS = 0.02
    registry = Registry("1.0.0")
    registry.wanted, registry.versions["2.0.0"] = InService("1.0.0", "2.0.0"), shadow
    monkeypatch.setattr(serving, "FOLLOW_SECONDS", 0.05)
    monkeypatch.setattr(api, "versions_in_service", registry.versions_in_service)
    monkeypatch.setattr(api, "load", registry.load)
    pipeline = Pipeline(predictor=cast("Any", VersionStub("1.0.0")), name="pipeline:1", follows=True)
    pipeline.start()
    yield pipeline
    pipeline.stop()
    connection.close()


def test_the_pipeline_reads_in_shadow_after_the_results_are_there(running: Pipeline, doctor: User) -> None:
    for n in range(10):
        stored(doctor, bytes([n]))
    wait_until(lambda: Prediction.objects.filter(is_shadow=True).count() == 10, "ten readings in shadow", seconds=30)
    assert all_final()
    assert ShadowTally.objects.get().n == 10


def test_nothing_is_read_in_shadow_while_a_case_is_in_hand(running: Pipeline, shadow: VersionStub, doctor: User) -> None:
    busy = make_case(doctor, state="processing", worker=running.name)
    running._take([busy])
    read_by_active(doctor, b"a")
    wait_until(lambda: running._serving._shadow is not None, "the shadow", seconds=10)
    threading.Event().wait(0.5)
    assert not Prediction.objects.filter(is_shadow=True).exists()
    running._put_down([busy])
    wait_until(lambda: Prediction.objects.filter(is_shadow=True).exists(), "the reading in shadow", seconds=10)
