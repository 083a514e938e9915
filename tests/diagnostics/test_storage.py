"""Storage: durable before it is named, private always, and damage is noticed."""

import hashlib
import os
import tracemalloc
from heapq import nsmallest
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest

from diagnostics import storage
from diagnostics.exceptions import StorageUnavailableError, StoredFilmDamagedError
from diagnostics.storage_s3 import PrivateS3Storage


def test_file_and_directories_are_synced_before_save_returns(tmp_path: Path) -> None:
    synced: list[str] = []
    real = os.fsync

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    with mock.patch("os.fsync", side_effect=note):
        storage.save_derived("cases/abc", b"film")
    assert synced[-1] == "cases"
    assert any(name.startswith(".abc.") for name in synced)
    assert "media" in synced  # the directory that gained `cases`


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with mock.patch("os.fsync", side_effect=OSError(28, "No space left on device")), pytest.raises(StorageUnavailableError):
        storage.save_derived("cases/abc", b"film")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_failed_replacement_keeps_the_old_bytes() -> None:
    storage.save_derived("displays/abc", b"old")
    with mock.patch.object(Path, "replace", side_effect=OSError(28, "No space left")), pytest.raises(StorageUnavailableError):
        storage.save_derived("displays/abc", b"new")
    assert storage.read_film("displays/abc") == b"old"


def test_files_are_not_readable_by_others(tmp_path: Path) -> None:
    storage.save_derived("cases/abc", b"film")
    assert (tmp_path / "media/cases/abc").stat().st_mode & 0o007 == 0


def test_no_film_has_an_address() -> None:
    with pytest.raises(NotImplementedError):
        storage.films().url("cases/abc")


def test_other_bytes_than_were_accepted_are_noticed(tmp_path: Path) -> None:
    storage.save_derived("cases/abc", b"film")
    (tmp_path / "media/cases/abc").write_bytes(b"filn")
    with pytest.raises(StoredFilmDamagedError):
        storage.read_film("cases/abc", sha256="a" * 64)


def test_a_volume_that_is_not_mounted_is_an_outage_not_damage() -> None:
    with pytest.raises(StorageUnavailableError):
        storage.read_film("cases/none")


def test_a_missing_object_is_damage_not_an_outage() -> None:
    storage.save_derived("cases/another", b"film")
    with pytest.raises(StoredFilmDamagedError):
        storage.read_film("cases/none")


@pytest.mark.parametrize("stumble", [FileNotFoundError(), BytesIO(b"fi")], ids=["missing", "cut short"])
def test_a_storage_that_stumbles_once_makes_no_film_damaged(stumble: Any) -> None:
    storage.save_derived("cases/abc", b"film")
    answers = [stumble, BytesIO(b"film")]
    with mock.patch.object(storage.films(), "open", side_effect=answers):
        assert storage.read_film("cases/abc", sha256=hashlib.sha256(b"film").hexdigest()) == b"film"


def test_a_key_cannot_leave_the_storage() -> None:
    with pytest.raises(Exception, match="path"):
        storage.save_derived("../outside", b"film")


def test_the_probe_tells_a_full_disk() -> None:
    storage.check_storage()
    with mock.patch("os.fsync", side_effect=OSError(28, "No space left")), pytest.raises(StorageUnavailableError):
        storage.check_storage()


def test_a_film_for_the_browser_is_streamed_and_does_not_name_its_place() -> None:
    content = os.urandom(8 * 1024 * 1024)
    storage.save_derived("cases/abc", content)
    with storage.open_film("cases/abc") as film:
        assert film.name is None
        assert b"".join(film.chunks(64 * 1024)) == content
    tracemalloc.start()
    try:
        with storage.open_film("cases/abc") as film:
            assert sum(len(chunk) for chunk in film.chunks(64 * 1024)) == len(content)
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


def test_a_missing_film_is_noticed_before_an_answer_begins() -> None:
    storage.save_derived("cases/another", b"film")
    with pytest.raises(StoredFilmDamagedError):
        storage.open_film("cases/none")


def test_an_upload_to_s3_holds_one_part_in_memory() -> None:
    """Ten at once, which is boto's default, took a web process to 390 MB with four uploads of 60 MB; now 155 MB."""
    config = PrivateS3Storage(bucket_name="films").transfer_config
    assert (config.use_threads, config.multipart_chunksize) == (False, 5 * 1024 * 1024)


@pytest.mark.parametrize("count", [0, 4, 5, 6, 23])
def test_a_folder_is_listed_in_order_with_a_part_of_its_names_in_memory(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "NAMES_AT_ONCE", 5)
    keys = [f"cases/{uuid4()}" for _ in range(count)]
    for key in keys:
        storage.save_derived(key, b"film")
    held = mock.Mock(wraps=nsmallest)
    monkeypatch.setattr("diagnostics.storage.nsmallest", held)
    assert [stored.key for stored in storage.list_folder("cases")] == sorted(keys)
    assert held.call_count == (count // 5 + 1 if count else 0)
    assert all(call.args[0] == 5 for call in held.call_args_list)
