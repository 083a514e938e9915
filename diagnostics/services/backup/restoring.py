"""The way back: everything is proved while it streams, objects first, and the rows, which name them, last and all at once."""

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO
from uuid import UUID

from django.conf import settings
from django.core.files.base import File
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.models import Max

from accounts.audit import Head, chain_head
from accounts.models import AuditEvent
from diagnostics import storage
from diagnostics.exceptions import BackupError
from diagnostics.models import Case
from diagnostics.services.backup import rows
from diagnostics.services.backup.entering import enter_restore
from diagnostics.services.backup.making import mark_of_audit_key
from diagnostics.services.backup.objects import FOLDERS, MODELS, in_parallel
from diagnostics.services.backup.sets import OBJECTS, SETS, Entry, Found, Manifest, SideBySide, Vault, key_of
from diagnostics.services.purging import finish_removals
from diagnostics.storage import AUDIT_HEADS, ORIGINALS, DurableFileStorage

IN_MEMORY = 1024 * 1024  # bytes of one object; the rest waits in a file until its hash is known
NOWHERE: Callable[[Entry, IO[bytes]], None] = lambda _entry, _content: None  # noqa: E731 - a place that takes anything


@dataclass(slots=True)
class Restored:
    """`newest_entry`: the last that the restored database knows; what came after it is lost. `forgotten` objects are of films
    that were purged since that backup, and in no backup any more; `waited` are those of them that had no result yet."""

    objects: int = 0
    size_bytes: int = 0
    forgotten: int = 0
    waited: list[UUID] = field(default_factory=list)
    newest_entry: datetime | None = None
    seconds: float = 0.0


def choose_backup(vault: Vault, name: str | None) -> Manifest:
    """The newest that counts, or the one that is named. Raises `BackupError`, also where the newest may not be meant."""
    found = vault.find_sets()
    if name in found.damaged:
        raise BackupError(f"The manifest of backup {name} is damaged. Choose another: restore --list")
    if name in found.unfinished:
        raise BackupError(f"Backup {name} was never finished. Choose another: restore --list")
    chosen = next((backup for backup in found.good if name in {None, backup.name}), None)
    if chosen is None:
        kinds = "none that opens: restore --list" if found.damaged else "no backup"
        raise BackupError(f"There is no backup {name}: restore --list" if name else f"The target holds {kinds}.")
    if not name:
        _refuse_to_guess(found)
    return chosen


def _refuse_to_guess(found: Found) -> None:
    newest = found.good[0]
    if found.damaged and found.damaged[0] > newest.name:
        raise BackupError(f"Backup {found.damaged[0]} is newer than {newest.name}, and damaged. Name the one to take.")
    if ahead := [backup.name for backup in found.good if backup.entries > newest.entries]:
        raise BackupError(
            f"Backup {newest.name} knows less than {ahead[0]}, which is older. Name the one to take: restore --list"
        )


def check_backup(vault: Vault, backup: Manifest, *, advance: Callable[[int], None] = lambda _: None) -> Restored:
    """Read all of it, and write nothing. Raises `BackupError` at the first file that is missing or not as it was written."""
    clock, done = time.monotonic(), Restored()
    for _ in _read_rows(vault, backup):
        pass
    _carry_objects(vault, backup, NOWHERE, done, advance)
    done.seconds = round(time.monotonic() - clock, 1)
    return done


def restore_backup(
    vault: Vault, backup: Manifest, *, replace: bool = False, advance: Callable[[int], None] = lambda _: None
) -> Restored:
    """Fill this installation. `replace`: though it is not empty; then the whole backup is read first, and objects that it does
    not name stay. Raises `BackupError` or `StorageUnavailableError`; before the last step there are no rows."""
    with rows.only_backup():
        return _restore(vault, backup, replace, advance)


def _restore(vault: Vault, backup: Manifest, replace: bool, advance: Callable[[int], None]) -> Restored:
    clock, done = time.monotonic(), Restored()
    _refuse_what_does_not_fit(vault, backup)
    rows.refuse_without_rights()
    if not replace:
        _refuse_what_is_not_empty()
    rows.try_to_read(_read_rows(vault, backup))
    if replace:
        _carry_objects(vault, backup, NOWHERE, Restored(), lambda _: None)
    _carry_objects(vault, backup, _store, done, advance)
    replaced = _end_of_log() if replace else None
    rows.drop_everything()
    rows.load_rows(_read_rows(vault, backup))
    call_command("migrate", interactive=False, verbosity=0)
    call_command("createcachetable", verbosity=0)
    done.newest_entry = _newest_entry()
    enter_restore(backup, objects=done.objects, forgotten=done.forgotten, replaced=replaced)
    done.waited = finish_removals(_purged_films(vault))
    done.seconds = round(time.monotonic() - clock, 1)
    return done


def _refuse_what_does_not_fit(vault: Vault, backup: Manifest) -> None:
    if backup.engine != connection.vendor:
        raise BackupError(f"Backup {backup.name} is of {backup.engine}, and DATABASE_URL names {connection.vendor}.")
    if backup.audit_key != mark_of_audit_key(vault):
        raise BackupError(
            "AUDIT_KEY is not the one that the audit log in this backup is chained with. Put that one back first."
        )
    unknown = set(backup.migrations) - {f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations}
    if unknown:
        raise BackupError(
            f"Backup {backup.name} was made by release {backup.release}, which knows migrations that this one does not "
            f"({min(unknown)}). Install that release, or a later one, first."
        )


def _refuse_what_is_not_empty() -> None:
    what = None
    if not rows.is_empty():
        what = "The database holds entries"
    elif any(stored for folder in (AUDIT_HEADS, *FOLDERS) for stored in storage.list_folder(folder)):
        what = "The storage of films holds objects"
    if what:
        raise BackupError(
            f"{what}: only an empty installation is filled. Nothing was changed. With --replace it is overwritten, "
            "what a restore that was cut off has left too."
        )


def _read_rows(vault: Vault, backup: Manifest) -> Iterator[bytes]:
    digest = hashlib.sha256()
    for block in vault.read(f"{SETS}{backup.name}/rows"):
        digest.update(block)
        yield block
    if digest.hexdigest() != backup.rows.sha256:
        raise BackupError(f"{SETS}{backup.name}/rows is not the file that the manifest names.")


def _carry_objects(
    vault: Vault, backup: Manifest, put: Callable[[Entry, IO[bytes]], None], done: Restored, advance: Callable[[int], None]
) -> None:
    """Each object that the backup names, proved, to where `put` takes it."""

    def carry(entry: Entry) -> int:
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as content:
            _read_object(vault, entry, content)
            content.seek(0)
            put(entry, content)
        return entry.size

    with closing(vault.entries(backup.name)) as entries:
        for size in in_parallel(carry, _those_that_are_there(vault, entries, done)):
            done.objects += 1
            done.size_bytes += size
            advance(1)


def _read_object(vault: Vault, entry: Entry, content: "tempfile.SpooledTemporaryFile[bytes]") -> None:
    digest, name = hashlib.sha256(), vault.object_name(entry)
    for block in vault.read(name):
        digest.update(block)
        content.write(block)
    if digest.hexdigest() != entry.sha256:
        raise BackupError(f"{name} is not the file that the backup's list names.")


def _those_that_are_there(vault: Vault, entries: Iterator[Entry], done: Restored) -> Iterator[Entry]:
    """Raises `BackupError` for one that is missing, unless its film was purged since and the backups have let go of it."""
    purged = SideBySide(vault.purged(_newest(vault)), lambda found: found[0])
    folder, held = "", SideBySide[tuple[str, int]]((), lambda found: found[0])
    for entry in entries:
        if (current := entry.key.partition("/")[0]) != folder:
            folder = current
            held = SideBySide(vault.target.list(f"{OBJECTS}{folder}/"), lambda found: key_of(found[0]))
        name = vault.object_name(entry)
        if any(found == name for found, _ in held.take(entry.key)):
            yield entry
        elif purged.take(entry.key):
            done.forgotten += 1
        else:
            raise BackupError(f"{name} is missing in the target.")


def _newest(vault: Vault) -> str:
    return vault.find_sets().good[0].name


def _purged_films(vault: Vault) -> Iterator[tuple[UUID, datetime]]:
    """By the newest backup: since these rows, or while their objects were copied, so that they may not be whole any more."""
    for key, at in vault.purged(_newest(vault)):
        folder, _, name = key.partition("/")
        if folder == ORIGINALS:
            yield UUID(name), at


def _end_of_log() -> Head | None:
    """None where there is no log that answers, or an empty one."""
    try:
        head = chain_head()
    except DatabaseError:
        return None
    return head if head.sequence else None


def _store(entry: Entry, content: IO[bytes]) -> None:
    folder, _, name = entry.key.partition("/")
    if folder != MODELS:
        storage.save_film(entry.key, File(content))
        return
    try:
        DurableFileStorage(location=Path(settings.MODEL_DIR)).save(name, File(content))
    except OSError as error:
        raise BackupError(f"{settings.MODEL_DIR} cannot be written: {error.strerror}.") from error


def _newest_entry() -> datetime | None:
    found = (AuditEvent.objects.aggregate(at=Max("at"))["at"], Case.objects.aggregate(at=Max("created_at"))["at"])
    return max((at for at in found if at), default=None)
