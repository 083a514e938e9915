"""A film's bytes: the right type, a safe name, nothing kept where it must not be."""

from typing import Any, NoReturn

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from accounts.audit import Action
from accounts.models import AuditEvent, User
from diagnostics import storage
from diagnostics.exceptions import StorageUnavailableError
from diagnostics.models import Case
from tests.diagnostics.cases import make_case, make_prediction

FILM = b"\xff\xd8\xff the bytes of a film"


def stored(doctor: User, **columns: object) -> Case:
    case = make_case(doctor, state="done", **columns)
    prediction = make_prediction(case)
    for key in (case.original_key, storage.display_key(case.pk), prediction.heatmap_key):
        storage.save_derived(key, FILM)
    return case


def fetch(client: Client, name: str, case: Case) -> Any:
    answer = client.get(reverse(f"diagnostics:{name}", args=[case.pk]))
    assert answer.status_code == 200
    return answer


@pytest.mark.parametrize(
    ("kind", "content_type"), [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("DICOM", "application/dicom")]
)
def test_the_original_comes_back_byte_for_byte_as_what_it_is(
    client: Client, doctor: User, kind: str, content_type: str
) -> None:
    client.force_login(doctor)
    answer = fetch(client, "original", stored(doctor, format=kind))
    assert answer.getvalue() == FILM
    assert answer.headers["Content-Type"] == content_type
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("name", "kind", "disposition"),
    [
        ("film.jpeg", "JPEG", 'attachment; filename="film.jpeg"'),
        ("IM000001", "DICOM", 'attachment; filename="IM000001.dcm"'),
        ("page.html", "JPEG", 'attachment; filename="page.html.jpg"'),
        ("Röntgen 😀.png", "PNG", "attachment; filename*=utf-8''R%C3%B6ntgen%20%F0%9F%98%80.png"),
        ('a"; filename="b.jpg', "JPEG", 'attachment; filename="a\\"; filename=\\"b.jpg"'),
    ],
)
def test_a_download_has_a_name_that_cannot_break_the_header(
    client: Client, doctor: User, name: str, kind: str, disposition: str
) -> None:
    client.force_login(doctor)
    assert fetch(client, "original", stored(doctor, file_name=name, format=kind)).headers["Content-Disposition"] == disposition


@pytest.mark.parametrize("name", ["display", "heatmap"])
def test_derived_pictures_are_png_for_this_reader_alone(client: Client, doctor: User, name: str) -> None:
    client.force_login(doctor)
    answer = fetch(client, name, stored(doctor))
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.headers["Vary"] == "Cookie"


@pytest.mark.parametrize("name", ["original", "display", "heatmap"])
def test_a_picture_that_was_lost_gets_404(client: Client, doctor: User, name: str) -> None:
    case = make_case(doctor, state="done")
    make_prediction(case)
    for folder in ("cases", "displays", "heatmaps"):
        storage.save_derived(f"{folder}/another", b"film")  # the volume is there, this film is not
    client.force_login(doctor)
    assert client.get(reverse(f"diagnostics:{name}", args=[case.pk])).status_code == 404


@pytest.mark.parametrize("name", ["display", "heatmap"])
def test_pictures_that_are_not_drawn_yet_get_404(client: Client, doctor: User, name: str) -> None:
    client.force_login(doctor)
    assert client.get(reverse(f"diagnostics:{name}", args=[make_case(doctor).pk])).status_code == 404


@pytest.mark.parametrize("name", ["original", "display", "heatmap"])
def test_storage_that_is_down_gets_503(client: Client, doctor: User, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def be_down(key: str) -> NoReturn:
        raise StorageUnavailableError(key)

    case = stored(doctor)
    monkeypatch.setattr(storage, "open_film", be_down)
    client.force_login(doctor)
    answer = client.get(reverse(f"diagnostics:{name}", args=[case.pk]))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


def test_a_proxy_that_sends_local_films_is_told_which_and_how(client: Client, doctor: User, settings: Settings) -> None:
    settings.LOCAL_FILMS_BY_PROXY = "/films/"
    case = stored(doctor, file_name="thorax.jpg")
    client.force_login(doctor)
    answer = fetch(client, "original", case)
    assert answer.headers["X-Accel-Redirect"] == f"/films/{case.original_key}"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="thorax.jpg"'
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.content == b""
    assert AuditEvent.objects.filter(action=Action.DOWNLOADED, object_id=str(case.pk)).count() == 1


def test_a_film_that_was_lost_is_not_looked_for_by_the_proxy(client: Client, doctor: User, settings: Settings) -> None:
    settings.LOCAL_FILMS_BY_PROXY = "/films/"
    case = make_case(doctor, state="done")
    storage.save_derived("cases/another", b"film")
    client.force_login(doctor)
    answer = client.get(reverse("diagnostics:original", args=[case.pk]))
    assert answer.status_code == 404
    assert "X-Accel-Redirect" not in answer.headers
