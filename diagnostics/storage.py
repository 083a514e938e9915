"""Private storage of films: bytes are durable before a row says that they exist, and no file has a public address."""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import nsmallest
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID, uuid4

from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage, Storage, storages

from diagnostics.exceptions import StorageUnavailableError, StoredFilmDamagedError
from diagnostics.monitoring.instruments import STORAGE_ERRORS

COPY_CHUNK = 256 * 1024  # bytes
NAMES_AT_ONCE = 100_000  # of a folder in memory: some 27 MB
ORIGINALS, DISPLAYS, HEATMAPS, PROBES = "cases", "displays", "heatmaps", "probes"  # the folders of our keys
AUDIT_HEADS = "audit-heads"  # ends of the audit log
LOOKS, LOOK_AGAIN_SECONDS = 3, 0.2  # before a stored film counts as damaged
PART = ".part"  # ends the name of a local file that is still being written, or never was finished


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What the storage says of one object. `upload_id`: of an upload to S3 that never was finished; nothing can read it."""

    key: str
    size: int
    modified_at: datetime
    upload_id: str = ""

    @property
    def is_unfinished(self) -> bool:
        return bool(self.upload_id) or self.key.endswith(PART)


def original_key(case_id: UUID) -> str:
    """The key is ours: nothing of the user's file name or the patient is in it."""
    return f"{ORIGINALS}/{case_id}"


def display_key(case_id: UUID) -> str:
    return f"{DISPLAYS}/{case_id}"


def new_heatmap_key() -> str:
    return f"{HEATMAPS}/{uuid4()}"


def audit_head_key(sequence: int) -> str:
    return f"{AUDIT_HEADS}/{sequence:012}"


class PrivateStorageMixin:
    """No file of ours is served by its address."""

    def url(self, name: str | None) -> NoReturn:
        raise NotImplementedError("Films have no address: a view checks, then serves.")


class VolumeMissingError(OSError):
    """The directory that the film's directory should be in is not there: a volume is not mounted."""


class DurableFileStorage(PrivateStorageMixin, FileSystemStorage):
    """Local files. What `save` has returned from survives a power cut: the file and its directory are fsynced.

    Django's own `FileSystemStorage._save` never calls fsync.
    """

    def _save(self, name: str, content: File) -> str:
        target = Path(self.path(name))
        make_directories(target.parent)
        temporary = target.with_name(f".{target.name}.{uuid4().hex}{PART}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self.file_permissions_mode or 0o640)
            with os.fdopen(descriptor, "wb") as file:
                for chunk in content.chunks(COPY_CHUNK):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_to_disk(target.parent)
        return name

    def _open(self, name: str, mode: str = "rb") -> File:
        if not Path(self.path(name)).parent.is_dir():
            raise VolumeMissingError("the films' directory is missing")
        opened: File = super()._open(name, mode)  # type: ignore[misc]
        return opened

    def delete(self, name: str) -> None:
        """As Django's, but a volume that is not mounted must not look like a film that is gone."""
        if not Path(self.path(name)).parent.is_dir():
            raise VolumeMissingError("the films' directory is missing")
        super().delete(name)

    def list_objects(self, folder: str) -> Iterator[StoredObject]:
        """All files of a folder by name, those that are still being written too."""
        directory = Path(self.path(folder))
        for name in names_in_order(directory) if directory.is_dir() else ():
            try:
                facts = (directory / name).stat()
            except FileNotFoundError:  # finished or removed since the listing
                continue
            yield StoredObject(f"{folder}/{name}", facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC))

    def list_unfinished(self, folder: str) -> Iterator[StoredObject]:
        """None beside those that `list_objects` names."""
        yield from ()

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Keys are ours: a derived picture that is drawn again replaces the first."""
        return name


class NoStorage(Storage):
    """The `default` alias: nothing of ours uses it, and nothing may by accident."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError("Films are kept in the storage named `films`.")

    open = save = _open = _save = delete = exists = url = _refuse


def films() -> Storage:
    return storages["films"]


def transient_errors() -> tuple[type[Exception], ...]:
    """What the configured storage raises when it does not answer."""
    errors: tuple[type[Exception], ...] = getattr(films(), "transient_errors", (OSError,))
    return errors


def _unavailable(operation: str, key: str, error: Exception) -> StorageUnavailableError:
    """What to raise where the storage does not answer; counted."""
    STORAGE_ERRORS.labels(operation).inc()
    return StorageUnavailableError(f"{operation} {key}: {type(error).__name__}")


def hash_file(file: File) -> str:
    """SHA-256 of a spooled upload, in constant memory."""
    digest = hashlib.sha256()
    file.seek(0)
    for chunk in file.chunks(COPY_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def save_film(key: str, file: File) -> None:
    """Store the bytes under the key; on return they are durable. Raises `StorageUnavailableError`."""
    file.seek(0)
    try:
        films().save(key, file)
    except transient_errors() as error:
        raise _unavailable("saving", key, error) from error


def save_derived(key: str, content: bytes) -> None:
    """Store a picture that can be made again. Raises `StorageUnavailableError`."""
    save_film(key, ContentFile(content))


def read_film(key: str, *, sha256: str | None = None) -> bytes:
    """All bytes of an object, compared with the hash they were accepted with.

    A film is called missing or damaged only when it looks so again: that is final, and a storage may stumble once.
    Raises `StorageUnavailableError` (transient) or `StoredFilmDamagedError` (missing, or other bytes).
    """
    for _ in range(LOOKS - 1):
        with suppress(StoredFilmDamagedError):
            return _read_once(key, sha256)
        time.sleep(LOOK_AGAIN_SECONDS)
    return _read_once(key, sha256)


def _read_once(key: str, sha256: str | None) -> bytes:
    try:
        with films().open(key) as file:
            content: bytes = file.read()
    except FileNotFoundError as error:
        raise StoredFilmDamagedError(f"{key} is missing") from error
    except transient_errors() as error:
        raise _unavailable("reading", key, error) from error
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise StoredFilmDamagedError(f"{key} has another SHA-256 than was accepted")
    return content


def open_film(key: str) -> File:
    """A file to stream to a browser, in constant memory. Raises `StorageUnavailableError` or `StoredFilmDamagedError`."""
    try:
        film = films().open(key)
    except FileNotFoundError as error:
        raise StoredFilmDamagedError(f"{key} is missing") from error
    except transient_errors() as error:
        raise _unavailable("reading", key, error) from error
    film.name = None  # or the answer's header would name where the file lies
    return film


def is_stored(key: str) -> bool:
    """Whether there is such an object. Raises `StorageUnavailableError`."""
    try:
        return films().exists(key)
    except transient_errors() as error:
        raise _unavailable("looking for", key, error) from error


def hash_stored(key: str) -> str:
    """SHA-256 of an object, in constant memory. Raises as `open_film` does."""
    with open_film(key) as film:
        try:
            return hash_file(film)
        except transient_errors() as error:
            raise _unavailable("reading", key, error) from error


def list_folder(folder: str) -> Iterator[StoredObject]:
    """Every object of a folder in the order of the keys' bytes, then what was never finished.

    Raises `StorageUnavailableError`.
    """
    listing: Any = films()
    try:
        yield from listing.list_objects(folder)
        yield from listing.list_unfinished(folder)
    except transient_errors() as error:
        raise _unavailable("listing", folder, error) from error


def discard(stored: StoredObject) -> None:
    """Remove what no row names. Raises `StorageUnavailableError`."""
    if not stored.upload_id:
        delete_film(stored.key)
        return
    bucket: Any = films()
    try:
        bucket.abort_upload(stored)
    except transient_errors() as error:
        raise _unavailable("aborting", stored.key, error) from error


def delete_film(key: str) -> None:
    """Remove an object for good; none there is none to remove. Raises `StorageUnavailableError`."""
    try:
        if is_stored(key):
            films().delete(key)
    except transient_errors() as error:
        raise _unavailable("removing", key, error) from error


def delete_quietly(key: str) -> None:
    """Remove an object whose row was not written; what cannot be removed now is an orphan for `verify_storage`."""
    try:
        films().delete(key)
    except transient_errors():
        return


def check_storage() -> None:
    """Write, read and delete a probe. Raises `StorageUnavailableError`."""
    key = f"{PROBES}/{uuid4()}"
    try:
        save_derived(key, b"probe")
        if read_film(key) != b"probe":
            raise StorageUnavailableError("the probe came back changed")
    except StoredFilmDamagedError as error:
        raise StorageUnavailableError("the probe did not come back") from error
    finally:
        delete_quietly(key)


def names_in_order(directory: Path) -> Iterator[str]:
    """The names in a directory, sorted, a directory's with a slash. At most a batch is in memory: it is read once for each.

    Raises `OSError`.
    """
    last = ""
    while True:
        with os.scandir(directory) as entries:
            names = (f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries)
            batch = nsmallest(NAMES_AT_ONCE, (name for name in names if name > last))
        yield from batch
        if len(batch) < NAMES_AT_ONCE:
            return
        last = batch[-1]


def make_directories(directory: Path) -> None:
    """Make what is missing of `directory` and fsync each parent, so that the new names survive too."""
    missing = []
    while not directory.exists():
        missing.append(directory)
        directory = directory.parent
    for path in reversed(missing):
        path.mkdir(mode=0o750, exist_ok=True)
        sync_to_disk(path.parent)


def sync_to_disk(path: Path) -> None:
    """What a file holds, or which names a directory has, survives a power cut from now on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
