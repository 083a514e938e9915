"""What is answered before a view is asked: bodies too large, disks too full."""

import errno
from tempfile import NamedTemporaryFile
from typing import Any
from unittest import mock

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from accounts.tokens import create_api_token
from diagnostics.models import Case


class FullDisk:
    """A temporary file on a disk that takes no more bytes."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.name = "full"

    def write(self, _: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:
        """Nothing was opened."""


@pytest.fixture
def spooled(settings: Settings) -> None:
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 1000


@pytest.mark.usefixtures("spooled")
def test_a_full_disk_is_503_for_a_program(doctor: User, film_jpeg: bytes) -> None:
    _, token = create_api_token(user=doctor)
    client = Client(raise_request_exception=False)
    with mock.patch("django.core.files.temp.NamedTemporaryFile", FullDisk):
        answer = client.post(
            "/api/v1/cases", {"file": SimpleUploadedFile("f.jpg", film_jpeg)}, headers={"Authorization": f"Bearer {token}"}
        )
    assert (answer.status_code, answer.json()["code"]) == (503, "STORAGE_UNAVAILABLE")
    assert not Case.objects.exists()


@pytest.mark.usefixtures("spooled")
def test_a_full_disk_is_503_on_the_page(client: Client, doctor: User, film_jpeg: bytes) -> None:
    client.force_login(doctor)
    client.raise_request_exception = False
    with mock.patch("django.core.files.temp.NamedTemporaryFile", FullDisk):
        answer = client.post("/cases/upload/", {"file": SimpleUploadedFile("f.jpg", film_jpeg)})
    assert answer.status_code == 503
    assert "othing was saved" in answer.content.decode()


def test_a_page_that_is_posted_too_much_is_413(client: Client, doctor: User, settings: Settings) -> None:
    client.force_login(doctor)
    settings.UPLOAD_MAX_BYTES = 1000
    answer = client.generic("POST", "/cases/upload/", b"", CONTENT_LENGTH=str(2**30))
    assert answer.status_code == 413
    assert "larger than" in answer.content.decode()


@pytest.mark.parametrize("length", ["", "-1"])
def test_a_malformed_length_is_no_fault_of_ours(client: Client, length: str) -> None:
    assert client.generic("GET", "/healthz", b"", CONTENT_LENGTH=length).status_code == 200


@pytest.mark.usefixtures("spooled")
def test_nothing_of_a_films_name_is_in_that_of_its_file_on_the_disk(
    client: Client, doctor: User, film_jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    made = NamedTemporaryFile

    def note(**options: Any) -> Any:
        names.append(options.get("suffix", ""))
        return made(**options)

    monkeypatch.setattr("django.core.files.temp.NamedTemporaryFile", note)
    client.force_login(doctor)
    name = "film.Canary Cara " + "x" * 230
    answer = client.post(
        "/cases/upload/", {"file": SimpleUploadedFile(name, film_jpeg)}, headers={"Accept": "application/json"}
    )
    assert answer.status_code == 201, "and what stands behind the dot may be longer than the disk's names"
    assert names == [".upload"]
    assert Case.objects.get().file_name == name
