"""Films go when their time is over; what was said of them stays."""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from accounts.tokens import create_api_token
from diagnostics import storage
from diagnostics.exceptions import StorageUnavailableError, TransitionError
from diagnostics.models import Case, Prediction
from diagnostics.services import purging
from diagnostics.services.administration import requeue_case
from diagnostics.services.drawing import draw_displays
from diagnostics.services.overrides import override_refusal
from diagnostics.services.purging import purge_expired_images
from diagnostics.services.reanalysis import reanalyse_case
from mlmodel import api
from tests.diagnostics.cases import make_case, make_prediction

DAYS = 30


@pytest.fixture(autouse=True)
def _retention(settings: Settings) -> None:
    settings.IMAGE_RETENTION_DAYS = DAYS


def old_case(uploader: User, *, state: str = "done", days: float = DAYS + 1, **columns: Any) -> Case:
    """With all its bytes in the storage."""
    case = make_case(uploader, state=state, created_at=timezone.now() - timedelta(days=days), **columns)
    keys = [case.original_key, storage.display_key(case.pk)]
    if state == "done":
        keys.append(make_prediction(case).heatmap_key)
    for key in keys:
        storage.save_derived(key, b"bytes")
    return case


def stored() -> set[str]:
    """Keys of all objects in the storage."""
    films = storage.films()
    return {f"{folder}/{name}" for folder in films.listdir("")[0] for name in films.listdir(folder)[1]}


def run(*arguments: str) -> dict[str, Any]:
    out = StringIO()
    call_command("purge_expired_images", *arguments, "--json", stdout=out)
    facts: dict[str, Any] = json.loads(out.getvalue())
    return facts


def test_an_expired_film_loses_its_bytes_and_keeps_its_result(doctor: User) -> None:
    case = old_case(doctor)
    kept = old_case(doctor, days=DAYS - 1)
    assert run() == {"retention_days": DAYS, "expired": 1, "removed": 1, "bytes": 1000}
    case.refresh_from_db()
    assert case.purged_at is not None
    assert (case.original_key, case.display, case.state) == ("", "unavailable", "done")
    assert case.prediction is not None
    assert stored() == {f"cases/{kept.pk}", f"displays/{kept.pk}", Prediction.objects.get(case=kept).heatmap_key}


@pytest.mark.parametrize("state", ["queued", "processing"])
def test_a_case_that_waits_for_its_analysis_is_left_alone(doctor: User, state: str) -> None:
    case = old_case(doctor, state=state, days=1000)
    assert run()["removed"] == 0
    assert f"cases/{case.pk}" in stored()


def test_without_a_retention_time_films_are_kept_for_ever(doctor: User, settings: Settings) -> None:
    settings.IMAGE_RETENTION_DAYS = 0
    old_case(doctor, days=5000)
    out = StringIO()
    call_command("purge_expired_images", stdout=out)
    assert "kept for ever" in out.getvalue()
    assert Case.objects.with_film().count() == 1


def test_a_dry_run_says_how_many_and_changes_nothing(doctor: User) -> None:
    old_case(doctor)
    before = stored()
    assert run("--dry-run") == {"retention_days": DAYS, "expired": 1, "removed": 0, "bytes": 1000}
    assert stored() == before
    assert Case.objects.with_film().count() == 1


def test_a_second_run_finds_nothing_to_do(doctor: User) -> None:
    old_case(doctor)
    run()
    marked_at = Case.objects.get().purged_at
    assert run() == {"retention_days": DAYS, "expired": 0, "removed": 0, "bytes": 0}
    assert Case.objects.get().purged_at == marked_at


def test_many_are_removed_in_batches(doctor: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "BATCH", 2)
    for _ in range(5):
        old_case(doctor, state="refused")
    assert run()["removed"] == 5
    assert stored() == set()


@pytest.mark.parametrize("dies_at", [1, 2, 3])
def test_an_interrupted_run_is_finished_by_the_next(doctor: User, settings: Settings, dies_at: int) -> None:
    case = old_case(doctor)
    remove, calls = storage.delete_film, []

    def die(key: str) -> None:
        calls.append(key)
        if len(calls) == dies_at:
            raise KeyboardInterrupt
        remove(key)

    with mock.patch.object(storage, "delete_film", die), pytest.raises(KeyboardInterrupt):
        purge_expired_images(days=DAYS)
    case.refresh_from_db()
    assert case.purged_at is not None
    assert case.original_key
    settings.IMAGE_RETENTION_DAYS = 0  # what was begun is finished whatever the setting says now
    assert run()["removed"] == 1
    assert stored() == set()


def test_a_storage_that_is_away_ends_the_run_on_one_line(doctor: User) -> None:
    case = old_case(doctor)
    away = StorageUnavailableError("removing x: ConnectTimeoutError")
    with mock.patch.object(storage, "delete_film", side_effect=away), pytest.raises(CommandError, match="goes on where"):
        run()
    assert f"cases/{case.pk}" in stored()
    assert run()["removed"] == 1


def test_a_volume_that_is_not_mounted_is_no_film_that_is_gone(doctor: User) -> None:
    storage.save_derived("cases/x", b"bytes")
    with pytest.raises(OSError, match="missing"):
        storage.films().delete("elsewhere/x")
    storage.delete_film("cases/x")
    storage.delete_film("cases/x")


def test_a_case_that_went_back_to_the_queue_meanwhile_keeps_its_film(doctor: User) -> None:
    case = old_case(doctor, state="failed")
    requeue_case(case=case)
    assert not purging._mark_removed(case, DAYS)
    case.refresh_from_db()
    assert case.purged_at is None


def test_a_row_cannot_lose_its_film_while_it_waits(doctor: User) -> None:
    case = old_case(doctor, state="queued")
    with pytest.raises(IntegrityError, match="case_without_film_is_final"):
        Case.objects.filter(pk=case.pk).update(purged_at=timezone.now())


def test_a_removed_film_is_never_queued_again(doctor: User, radiologist: User) -> None:
    case = old_case(doctor, state="refused")
    run()
    case.refresh_from_db()
    assert not requeue_case(case=case)
    assert not reanalyse_case(case=case, user=doctor)
    with pytest.raises(TransitionError):
        override_refusal(case=case, radiologist=radiologist, reason="because")
    case.refresh_from_db()
    assert case.state == "refused"


@pytest.mark.parametrize("state", ["done", "refused", "failed"])
def test_the_page_says_that_the_film_is_gone_and_offers_nothing_with_it(client: Client, radiologist: User, state: str) -> None:
    case = old_case(radiologist, state=state)
    run()
    client.force_login(radiologist)
    page = client.get(f"/cases/{case.pk}/").content.decode()
    assert "The film was removed on" in page
    assert f"{timezone.now():%Y}</time> after the retention time" in page
    for offer in (
        "Download the original",
        "Analyse again",
        "Set the refusal aside",
        "analyse-again",
        "override",
        'id="viewer"',
    ):
        assert offer not in page


def test_nobody_signs_a_verdict_on_a_film_that_nobody_sees(client: Client, radiologist: User) -> None:
    case = old_case(radiologist, state="refused")
    run()
    client.force_login(radiologist)
    assert "review-form" not in client.get(f"/cases/{case.pk}/").content.decode()
    answer = client.post(f"/cases/{case.pk}/review/", {"finding": "NO_PNEUMONIA", "sign": "1"})
    assert answer.status_code == 422
    assert not case.reviews.exists()


@pytest.mark.parametrize("part", ["original", "display", "heatmap"])
def test_a_removed_films_bytes_are_410_and_a_strangers_404(client: Client, doctor: User, stranger: User, part: str) -> None:
    case = old_case(doctor)
    run()
    client.force_login(doctor)
    answer = client.get(f"/cases/{case.pk}/{part}/")
    assert answer.status_code == 410
    assert "was removed on" in answer.content.decode()
    client.force_login(stranger)
    assert client.get(f"/cases/{case.pk}/{part}/").status_code == 404


def test_the_api_says_when_the_film_was_removed(client: Client, doctor: User) -> None:
    case = old_case(doctor)
    headers = {"Authorization": f"Bearer {create_api_token(user=doctor)[1]}"}
    assert client.get(f"/api/v1/cases/{case.pk}", headers=headers).json()["film_removed_at"] is None
    run()
    found = client.get(f"/api/v1/cases/{case.pk}", headers=headers).json()
    assert found["film_removed_at"].startswith(f"{timezone.now():%Y-%m}")
    assert found["prediction"]["label"] == "PNEUMONIA"


def test_the_admin_shows_when_and_finds_the_others(client: Client, admin_user: User) -> None:
    case = old_case(admin_user)
    run()
    client.force_login(admin_user)
    assert "Film removed at" in client.get(f"/admin/diagnostics/case/{case.pk}/change/").content.decode()
    assert "0 cases" in client.get("/admin/diagnostics/case/?purged_at__isempty=1").content.decode()


class SlowPredictor:
    """Draws a picture while the film's retention time ends."""

    def render_display(self, _film: bytes) -> api.DisplayPicture:
        purge_expired_images(days=DAYS)
        return api.DisplayPicture(b"picture", "0" * 64)


class OneByOne:
    """An executor without threads: a test's rows are seen by its own alone."""

    def map(self, work: Callable[[Case], Any], cases: list[Case]) -> list[Any]:
        return [work(case) for case in cases]


def test_a_picture_that_is_drawn_while_its_film_is_removed_goes_with_it(doctor: User) -> None:
    content = b"film"
    case = make_case(
        doctor,
        state="done",
        display="pending",
        created_at=timezone.now() - timedelta(days=DAYS + 1),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    storage.save_derived(case.original_key, content)
    draw_displays(cases=Case.objects.without_display(), limit=1, predictor=SlowPredictor(), executor=OneByOne())  # type: ignore[arg-type]
    case.refresh_from_db()
    assert case.purged_at is not None
    assert stored() == set()
