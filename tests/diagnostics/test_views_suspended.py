"""What a doctor, a program and an operator are told while no version is in service, and of results that were withdrawn."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone
from django.utils.formats import date_format
from pytest_django import Settings

from accounts.models import User
from diagnostics import metrics, storage
from diagnostics.models import Case, Prediction
from diagnostics.services import drawing, heartbeat
from diagnostics.services.checkup import Level, parts
from mlmodel import api
from mlmodel.models import VersionEvent
from mlmodel.services.lifecycle import Act, activate, suspend
from tests.diagnostics.cases import make_case, make_prediction
from tests.diagnostics.test_api import Program
from tests.trail import trail

WORDS, ADVICE = "Analysis is suspended since", "Read films as usual, without the model"
WITHDRAWN = "was withdrawn from service on"


@pytest.fixture
def reader(client: Client, doctor: User) -> Client:
    client.force_login(doctor)
    return client


@pytest.fixture
def old(doctor: User) -> Case:
    """Read by the version that is withdrawn later."""
    case = make_case(doctor, state="done")
    make_prediction(case, model_version=api.active_version(), created_at=timezone.now() - timedelta(days=1))
    return case


@pytest.fixture
def suspended(db: None, tmp_path: Any, settings: Settings) -> str:
    settings.MODEL_DIR = tmp_path / "models"
    heartbeat.start_worker(name="w:1", model_version="", engine="x")
    version = api.active_version()
    suspend(version=version, act=Act(None, reason="Stop rule: drift."))
    return version


def text_of(client: Client, address: str, **query: str) -> str:
    answer = client.get(address, query)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_nothing_is_said_while_a_version_is_in_service(reader: Client, doctor: User, old: Case) -> None:
    waits = make_case(doctor)
    for address in ("/cases/", "/cases/upload/", f"/cases/{waits.pk}/", f"/cases/{old.pk}/", "/cases/delay/"):
        text = text_of(reader, address)
        assert WORDS not in text
        assert WITHDRAWN not in text


@pytest.mark.parametrize("address", ["/cases/", "/cases/upload/", "/model/"])
def test_pages_say_since_when_and_what_to_do(reader: Client, suspended: str, address: str) -> None:
    text = text_of(reader, address)
    assert WORDS in text
    assert ADVICE in text
    assert "will be analysed when a version is back" in text


def test_a_waiting_films_page_says_so_instead_of_a_place_in_the_queue(reader: Client, doctor: User, suspended: str) -> None:
    case = make_case(doctor)
    text = text_of(reader, f"/cases/{case.pk}/")
    assert WORDS in text
    assert ADVICE in text
    assert "in the queue" not in text
    assert "Analysis is delayed" not in text


def test_without_a_worker_it_is_the_suspension_that_is_told(reader: Client, doctor: User, suspended: str) -> None:
    heartbeat.stop_worker(name="w:1")
    text = text_of(reader, f"/cases/{make_case(doctor).pk}/")
    assert WORDS in text
    assert "no worker" not in text


def test_a_page_that_is_open_hears_of_it_and_of_its_end(reader: Client, doctor: User, operator: User, tmp_path: Any) -> None:
    heartbeat.start_worker(name="w:1", model_version="", engine="x")
    case = make_case(doctor)
    stamp = "queued-1-0-0.5"
    assert reader.get(f"/cases/{case.pk}/status/", {"result": stamp, "film": "waiting"}).status_code == 204
    version = api.active_version()
    suspend(version=version, act=Act(None, reason="Stop rule: drift."))
    assert WORDS in text_of(reader, f"/cases/{case.pk}/status/", result=stamp, film="waiting")
    stamp = "queued-0-suspended-0.5"
    assert reader.get(f"/cases/{case.pk}/status/", {"result": stamp, "film": "suspended"}).status_code == 204
    activate(version=version, act=Act(operator, reason="mended", forced=True))
    assert "next in the queue" in text_of(reader, f"/cases/{case.pk}/status/", result=stamp, film="suspended")


def film_of(text: str) -> str:
    start = text.index('<div class="case-film"')
    return text[start : text.find('<div class="case-side"', start)]


def test_the_film_is_there_with_all_its_tools_and_claims_no_analysis(reader: Client, doctor: User, suspended: str) -> None:
    case = make_case(doctor, display="ready")
    text = text_of(reader, f"/cases/{case.pk}/")
    assert WORDS in text
    for tool in ("zoom-in", "fit", "window-mode", "invert", "reset", "help"):
        assert f'data-do="{tool}"' in film_of(text)
    assert 'data-do="overlay"' not in text
    assert f'hx-get="/cases/{case.pk}/status/' in text, "the page asks on: the result is still to come"


@pytest.mark.parametrize(("display", "words"), [("pending", "Analysis is suspended."), ("unavailable", "cannot be shown here")])
def test_a_film_without_a_picture_says_why(reader: Client, doctor: User, suspended: str, display: str, words: str) -> None:
    film = film_of(text_of(reader, f"/cases/{make_case(doctor, display=display).pk}/"))
    assert words in film
    assert "ownload the original" in film
    assert "after its analysis" not in film
    assert "Preparing" not in film


def test_an_open_page_gets_the_picture_then_the_result_and_each_reading_is_audited(
    reader: Client, doctor: User, suspended: str
) -> None:
    case = make_case(doctor)
    before = trail()
    shown = {"result": "queued-0-suspended-0.5", "film": "suspended"}
    address = f"/cases/{case.pk}/status/"
    assert reader.get(address, shown).status_code == 204
    storage.save_derived(storage.display_key(case.pk), b"png")
    drawing.set_display(case=case, display="ready", pixel_sha256="a" * 64)
    text = text_of(reader, address, **shown)
    assert 'id="viewer"' in text
    assert 'id="result"' not in text
    assert trail() == before, "the picture is read by its own request, the case was not viewed again"
    assert b"".join(reader.get(f"/cases/{case.pk}/display/").streaming_content) == b"png"  # type: ignore[attr-defined]
    assert trail() == [*before, "image_read by doctor"]
    shown["film"] = "ready-0"
    assert reader.get(address, shown).status_code == 204
    make_prediction(case)
    Case.objects.update(state="done", finished_at=timezone.now(), attempt=1)
    text = text_of(reader, address, **shown)
    assert 'data-do="overlay"' in text
    assert f'hx-get="{address}' not in text, "nothing more will come"


def test_a_result_without_a_heatmap_leaves_the_film_on_the_screen_alone(reader: Client, doctor: User) -> None:
    case = make_case(doctor, state="refused", display="ready")
    text = text_of(reader, f"/cases/{case.pk}/status/", result="queued-0-suspended-0.5", film="ready-0")
    assert 'id="result"' in text
    assert 'id="film"' not in text


def test_a_list_that_is_open_hears_of_it_once(reader: Client, doctor: User, suspended: str) -> None:
    make_case(doctor)
    assert WORDS in text_of(reader, "/cases/delay/")
    assert WORDS not in text_of(reader, "/cases/delay/", told="suspended")
    assert "/cases/delay/?told=suspended" in text_of(reader, "/cases/")
    assert "/cases/delay/?told=suspended" in text_of(reader, "/cases/upload/")


def test_an_upload_is_accepted_and_kept(reader: Client, suspended: str, doctor: User, film_jpeg: bytes) -> None:
    program = Program(doctor)
    assert program.post(film_jpeg).status_code == 201
    assert Case.objects.get().state == "queued"


def test_a_program_is_told_since_when_its_film_waits(doctor: User, suspended: str) -> None:
    case = make_case(doctor)
    answer = Program(doctor).get(case.pk).json()
    assert (answer["state"], answer["prediction"], answer["version_withdrawn_at"]) == ("queued", None, None)
    assert answer["suspended_since"].startswith(f"{timezone.now():%Y-%m-%d}")


def test_a_program_is_told_that_a_results_version_was_withdrawn(doctor: User, old: Case, suspended: str) -> None:
    answer = Program(doctor).get(old.pk).json()
    assert (answer["state"], answer["suspended_since"]) == ("done", None)
    assert answer["version_withdrawn_at"]
    assert answer["prediction"]["label"] == "PNEUMONIA"


def test_a_result_stays_with_the_note_that_its_version_was_withdrawn(reader: Client, old: Case, suspended: str) -> None:
    (since,) = VersionEvent.objects.filter(kind="suspended").values_list("at", flat=True)
    text = text_of(reader, f"/cases/{old.pk}/")
    assert "Pneumonia detected" in text
    assert f"Version {suspended} {WITHDRAWN} {date_format(timezone.localtime(since), 'j F Y, H:i')}" in text
    assert Prediction.objects.count() == 1


def test_an_earlier_result_of_a_withdrawn_version_says_so_in_the_history(reader: Client, old: Case, suspended: str) -> None:
    make_prediction(old, model_version="9.0.0")
    text = text_of(reader, f"/cases/{old.pk}/")
    assert f"This version {WITHDRAWN}" in text
    assert "Do not rely on it" not in text


def test_nothing_is_analysed_again_meanwhile(reader: Client, old: Case, suspended: str) -> None:
    assert "Analyse again" not in text_of(reader, f"/cases/{old.pk}/")
    answer = reader.post(f"/cases/{old.pk}/analyse-again/")
    assert "no version is in service" in str(next(iter(get_messages(answer.wsgi_request))))
    old.refresh_from_db()
    assert old.state == "done"


def test_the_models_page_says_why(reader: Client, suspended: str) -> None:
    for address in ("/model/", f"/model/{suspended}/"):
        text = text_of(reader, address)
        assert f"Version {suspended} {WITHDRAWN}" in text
        assert "Stop rule: drift." in text
        assert "reads films now" not in text


def test_readiness_is_degraded_and_not_down(client: Client, suspended: str) -> None:
    answer = client.get("/readyz").json()
    assert answer["parts"]["model"].startswith("degraded: no version in service since ")


def test_doctor_tells_what_to_do_and_counts_no_film_as_overdue(doctor: User, suspended: str) -> None:
    make_case(doctor, queued_at=timezone.now() - timedelta(hours=1))
    found = parts.check_model()
    assert (found.level, "rollback_model" in found.mend) == (Level.WARNING, True)
    assert metrics.check_model() in found.what
    queue = parts.check_queue()
    assert (queue.level, queue.what) == (Level.OK, "1 film(s) wait for a version to be in service again")
