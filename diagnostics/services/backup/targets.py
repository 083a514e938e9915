"""Where backups go: a directory (another machine's disk, mounted), or a bucket of another account.

A target knows names and bytes. What it is given is sealed already, so it need not be trusted with patients' data.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Protocol
from uuid import uuid4

from django.conf import settings

from diagnostics.exceptions import BackupError
from diagnostics.services.backup.sealing import Readable
from diagnostics.storage import PART, make_directories, names_in_order, sync_to_disk

COPY_CHUNK = 1024 * 1024  # bytes


class Target(Protocol):
    """Every method raises `BackupError` where the target does not answer or takes no more."""

    def put(self, name: str, stream: Readable) -> None:
        """Durable and whole on return; nothing of that name where the stream or the target fails."""

    def open(self, name: str) -> AbstractContextManager[Readable]:
        """Raises `BackupError` too where there is none."""

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Names below a prefix that ends in a slash, in the order of their bytes, each with its size."""

    def delete(self, name: str) -> None: ...

    def tidy(self) -> None:
        """Remove what a run that was cut off left half done."""


def open_target() -> Target:
    """The one that BACKUP_TARGET names. Raises `BackupError` where it names none, or the target is away."""
    if not settings.BACKUP_TARGET:
        raise BackupError("BACKUP_TARGET is not set: docs/configuration.md says what it may be.")
    if settings.BACKUP_TARGET.startswith("/"):
        return DirectoryTarget(Path(settings.BACKUP_TARGET))
    from diagnostics.services.backup.bucket import BucketTarget

    return BucketTarget(settings.BACKUP_TARGET)


class DirectoryTarget:
    """Files below a directory that must be there already: a volume that is not mounted is no empty target."""

    def __init__(self, root: Path) -> None:
        self.root = root
        if not root.is_dir():
            raise BackupError(f"The backup's target {root} is not there. Is its volume mounted?")

    def put(self, name: str, stream: Readable) -> None:
        path = self.root / name
        draft = path.with_name(f".{uuid4().hex}{PART}")
        with self._errors():
            make_directories(path.parent)
            try:
                with draft.open("xb") as file:
                    _copy(stream, file)
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
            sync_to_disk(path.parent)

    @contextmanager
    def open(self, name: str) -> Iterator[Readable]:
        with self._errors():
            try:
                file = (self.root / name).open("rb")
            except FileNotFoundError as error:
                raise BackupError(f"{name} is missing in {self.root}.") from error
            with file:
                yield file

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        with self._errors():
            yield from self._walk(prefix)

    def delete(self, name: str) -> None:
        with self._errors():
            (self.root / name).unlink(missing_ok=True)

    def tidy(self) -> None:
        with self._errors():
            for path in self.root.rglob(f".*{PART}"):
                path.unlink(missing_ok=True)
            for directory in (self.root / "sets").glob("*"):
                if not any(directory.iterdir()):
                    directory.rmdir()

    def _walk(self, folder: str) -> Iterator[tuple[str, int]]:
        if not (self.root / folder).is_dir():
            return
        for name in names_in_order(self.root / folder):
            if name.endswith("/"):
                yield from self._walk(folder + name)
            elif not name.endswith(PART):
                yield folder + name, (self.root / folder / name).stat().st_size

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            free = f", {shutil.disk_usage(self.root).free // 1024**2} MB free" if self.root.is_dir() else ""
            raise BackupError(
                f"The backup's target {self.root} fails: {error.strerror or type(error).__name__}{free}."
            ) from error


def _copy(stream: Readable, file: IO[bytes]) -> None:
    while block := stream.read(COPY_CHUNK):
        file.write(block)
