"""How films are read from a bucket: one request each, and again where the bytes break off."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from tempfile import SpooledTemporaryFile
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import IncompleteReadError, ReadTimeoutError
from botocore.response import StreamingBody
from django.core.files import File

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


@pytest.mark.parametrize(
    "act",
    [storage.read_film, storage.open_film, storage.is_stored, storage.delete_film],
    ids=["read", "open", "look", "delete"],
)
def test_a_bucket_that_is_gone_is_a_storage_that_does_not_answer(act: Callable[[str], Any]) -> None:
    """Its films may come back with it: none of them may be called missing or removed, which is final."""
    storage.save_derived("cases/abc", FILM)
    with mock.patch.object(storage.films(), "bucket_name", "gone"), pytest.raises(StorageUnavailableError):
        act("cases/abc")
    assert storage.is_stored("cases/abc")


def test_an_object_is_removed_and_none_is_none_to_remove() -> None:
    storage.save_derived("cases/abc", b"x")
    for _ in range(2):
        storage.delete_film("cases/abc")
        assert not storage.is_stored("cases/abc")


@pytest.mark.parametrize("size", [0, 300_000, 2_000_000])
def test_a_file_without_a_name_is_saved_whole(size: int) -> None:
    """As a restore hands them over. A file of Django's without a name is false."""
    with SpooledTemporaryFile[bytes](max_size=1_000_000) as spool:
        spool.write(FILM[:size])
        storage.save_film("cases/abc", File(spool))
    assert storage.read_film("cases/abc") == FILM[:size]


def test_small_objects_are_saved_by_one_request_and_large_ones_in_parts(asked: list[str]) -> None:
    large = bytes(storage_s3.PART + 1)
    storage.save_derived("cases/small", FILM)
    assert asked == ["PutObject"]
    storage.save_derived("cases/large", large)
    assert asked[1:] == ["CreateMultipartUpload", "UploadPart", "UploadPart", "CompleteMultipartUpload"]
    assert (storage.read_film("cases/small"), storage.read_film("cases/large")) == (FILM, large)


def test_what_is_saved_is_encrypted() -> None:
    storage.save_derived("cases/abc", b"x")
    bucket = storage.films()
    head = bucket._client.head_object(Bucket=bucket.bucket_name, Key="cases/abc")  # type: ignore[attr-defined]
    assert head["ServerSideEncryption"] == "AES256"


def test_threads_share_one_connection() -> None:
    films = storage.films()
    with ThreadPoolExecutor(4) as threads:
        clients = set(threads.map(lambda _: id(films._client), range(16)))  # type: ignore[attr-defined]
    assert clients == {id(films._client)}  # type: ignore[attr-defined]
