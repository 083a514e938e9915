"""How films are read from a bucket: one request each, and again where the bytes break off."""

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import IncompleteReadError, ReadTimeoutError
from botocore.response import StreamingBody

from diagnostics import storage, storage_s3
from diagnostics.exceptions import StorageUnavailableError, StoredFilmDamagedError

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("films_in_bucket")]
FILM = bytes(range(256)) * 12_000  # 3 MB: more than is kept in memory
CUT_OFF = IncompleteReadError(actual_bytes=1, expected_bytes=2)


@pytest.fixture
def asked() -> Iterator[list[str]]:
    """The operations that the bucket is asked for."""
    found: list[str] = []
    events = storage.films()._client.meta.events  # type: ignore[attr-defined]

    def note(model: Any, **_: Any) -> None:
        found.append(model.name)

    events.register("before-call.s3", note)
    yield found
    events.unregister("before-call.s3", note)


def test_a_film_is_read_by_one_request(asked: list[str]) -> None:
    storage.save_derived("cases/abc", FILM)
    asked.clear()
    assert storage.read_film("cases/abc") == FILM
    with storage.open_film("cases/abc") as film:
        assert b"".join(film.chunks(64 * 1024)) == FILM
    assert asked == ["GetObject"] * 2


def test_bytes_that_break_off_are_asked_for_again(asked: list[str]) -> None:
    storage.save_derived("cases/abc", FILM)
    asked.clear()
    read = StreamingBody.read
    answers = iter([CUT_OFF, ReadTimeoutError(endpoint_url="")])

    def stumble(body: StreamingBody, amt: int | None = None) -> bytes:
        if error := next(answers, None):
            raise error
        return read(body, amt)

    with mock.patch.object(StreamingBody, "read", stumble):
        assert storage.read_film("cases/abc") == FILM
    assert asked == ["GetObject"] * 3


def test_bytes_that_always_break_off_are_a_storage_that_does_not_answer(asked: list[str]) -> None:
    storage.save_derived("cases/abc", FILM)
    asked.clear()
    with mock.patch.object(StreamingBody, "read", side_effect=CUT_OFF), pytest.raises(StorageUnavailableError):
        storage.read_film("cases/abc")
    assert asked == ["GetObject"] * storage_s3.READS


def test_a_film_that_is_not_there_is_missing() -> None:
    with pytest.raises(StoredFilmDamagedError, match="is missing"):
        storage.open_film("cases/none")
