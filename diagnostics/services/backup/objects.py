"""What lies beside the database and cannot be made again, copied once and then only named.

Pictures and heatmaps are copied too: they are what a doctor saw, and a heatmap's version may be gone. Of the models those that
lie in MODEL_DIR as whole artifacts; the shipped one comes with the program.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from django.conf import settings

from diagnostics import storage
from diagnostics.exceptions import BackupError, StorageUnavailableError, StoredFilmDamagedError
from diagnostics.services.backup.sealing import Readable, sealed_size
from diagnostics.services.backup.sets import KEY, OBJECTS, Entry, SideBySide, Vault, key_of
from diagnostics.storage import COPY_CHUNK, DISPLAYS, HEATMAPS, ORIGINALS

MODELS = "models"  # the folder of keys; not one of the storage's
FOLDERS = (ORIGINALS, DISPLAYS, HEATMAPS)  # in the order of their names, after audit-heads and before models
AT_ONCE = 8  # objects on their way: a storage far away is slow for each, not for all
Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Source:
    """An object as the storage or the disk has it now."""

    key: str
    size: int
    modified: str


@dataclass(slots=True)
class Copied:
    """`count` objects of `size_bytes` are in the backup; `new` of them were carried to the target, `new_bytes`."""

    counts: dict[str, int] = field(default_factory=dict)
    size_bytes: int = 0
    new: int = 0
    new_bytes: int = 0


def list_sources(folder: str) -> Iterator[Source]:
    """In the order of the keys. What is half written, or no name of ours, is left out.

    Raises `StorageUnavailableError` or, for a model, `BackupError`.
    """
    if folder == MODELS:
        yield from _list_models()
        return
    for stored in storage.list_folder(folder):
        if not stored.is_unfinished and KEY.fullmatch(stored.key):
            yield Source(stored.key, stored.size, stored.modified_at.isoformat())


def _list_models() -> Iterator[Source]:
    root = Path(settings.MODEL_DIR)
    try:
        whole = [artifact.parent for artifact in root.glob("*/metadata.json") if not artifact.parent.name.startswith(".")]
        paths = [path for folder in whole for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
        for key, path in sorted((f"{MODELS}/{path.relative_to(root)}", path) for path in paths):
            facts = path.stat()
            yield Source(key, facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC).isoformat())
    except OSError as error:
        raise BackupError(f"{root} cannot be read: {error.strerror}.") from error


def copy_folder(vault: Vault, folder: str, before: SideBySide[Entry], copied: Copied) -> Iterator[Entry]:
    """Carry to the target what it does not hold yet, and name everything. `before` is what the last backup named."""
    held = SideBySide(vault.target.list(f"{OBJECTS}{folder}/"), lambda found: key_of(found[0]))

    def facts() -> Iterator[tuple[Source, list[Entry], dict[str, int]]]:
        for source in list_sources(folder):
            yield source, before.take(source.key), dict(held.take(source.key))

    def copy(known: tuple[Source, list[Entry], dict[str, int]]) -> tuple[Entry, bool] | None:
        return _copy_one(vault, *known)

    for outcome in in_parallel(copy, facts()):
        if outcome:
            entry, is_new = outcome
            copied.counts[folder] = copied.counts.get(folder, 0) + 1
            copied.size_bytes += entry.size
            copied.new += is_new
            copied.new_bytes += entry.size if is_new else 0
            yield entry


def _copy_one(vault: Vault, source: Source, before: list[Entry], held: dict[str, int]) -> tuple[Entry, bool] | None:
    """The object's entry, and whether it was carried; None for one that was removed since it was listed."""
    known = next((entry for entry in before if (entry.size, entry.modified) == (source.size, source.modified)), None)
    if known and held.get(vault.object_name(known)) == sealed_size(known.size):
        return known, False
    try:
        with _open(source.key) as film:
            digest, size = film.measure()
            entry = Entry(source.key, size, digest, source.modified)
            name = vault.object_name(entry)
            if held.get(name) == sealed_size(size):
                return entry, False
            if vault.put(name, film).sha256 != digest:
                vault.target.delete(name)
                raise BackupError(f"{source.key} changed while it was read. Run this again.")
    except StoredFilmDamagedError:
        return None
    return entry, True


class _Film:
    """An open object, whose errors are the storage's and not the target's."""

    def __init__(self, key: str, file: Readable) -> None:
        self._key, self._file = key, file

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._file.read(size)
        except storage.transient_errors() as error:
            raise StorageUnavailableError(f"reading {self._key}: {type(error).__name__}") from error

    def measure(self) -> tuple[str, int]:
        """SHA-256 and size; afterwards it is read from its beginning again."""
        digest, size = hashlib.sha256(), 0
        while block := self.read(COPY_CHUNK):
            digest.update(block)
            size += len(block)
        self._file.seek(0)  # type: ignore[attr-defined]
        return digest.hexdigest(), size


@contextmanager
def _open(key: str) -> Iterator[_Film]:
    """Raises `StorageUnavailableError`, or `StoredFilmDamagedError` where there is none any more."""
    folder, _, name = key.partition("/")
    if folder != MODELS:
        with storage.open_film(key) as film:
            yield _Film(key, film)
        return
    try:
        file = (Path(settings.MODEL_DIR) / name).open("rb")
    except FileNotFoundError as error:
        raise StoredFilmDamagedError(f"{key} is missing") from error
    except OSError as error:
        raise BackupError(f"{key} cannot be read: {error.strerror}.") from error
    with file:
        yield _Film(key, file)


def in_parallel(work: Callable[[Given], Made], items: Iterable[Given]) -> Iterator[Made]:
    """The results in the order of the items, of which a few are taken ahead. The first error ends it."""
    under_way: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for item in items:
                under_way.append(pool.submit(work, item))
                if len(under_way) > 2 * AT_ONCE:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()
