"""One backup: objects that the target lacks, the rows, the lists, and at last the manifest that makes it count."""

import tempfile
import time
import tomllib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO

from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.audit import chain_head
from diagnostics.exceptions import BackupError
from diagnostics.models import Case
from diagnostics.services.backup import rows, telling
from diagnostics.services.backup.entering import enter_backup
from diagnostics.services.backup.objects import FOLDERS, MODELS, Copied, copy_folder
from diagnostics.services.backup.retention import apply_retention
from diagnostics.services.backup.sets import ENTRIES, SETS, WHEN, Entry, Found, Manifest, Part, SideBySide, Vault, write_line
from diagnostics.services.purging import removed_objects
from diagnostics.services.verification import Kind, verify_storage
from diagnostics.storage import AUDIT_HEADS, ORIGINALS


@dataclass(slots=True)
class Outcome:
    """What was done; `retention` counts what was kept and removed, `damaged` names backups that do not open any more,
    `ahead` the one before, where the database knows fewer entries of the audit log now: emptied, put back, or another's."""

    manifest: Manifest
    copied: Copied
    seconds: float
    retention: dict[str, int] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    ahead: str = ""


def make_backup(vault: Vault, *, advance: Callable[[int], None] = lambda _: None) -> Outcome:
    """The success is told last of all. Raises `BackupError`, or `StorageUnavailableError` where the films cannot be read."""
    clock = time.monotonic()
    with rows.only_backup():
        found = vault.find_sets()
        began = _begin(found)
        with tempfile.TemporaryFile() as listing:
            manifest, copied = _write_set(vault, found, began, listing, advance)
        enter_backup(manifest, objects=sum(copied.counts.values()), new=copied.new)
        after = vault.find_sets()
        ahead = next((before.name for before in found.good[:1] if before.entries > manifest.entries), "")
        outcome = Outcome(manifest, copied, 0.0, damaged=after.damaged, ahead=ahead)
        outcome.retention = apply_retention(vault, after, keep=settings.BACKUP_KEEP, forget_days=settings.BACKUP_FORGET_DAYS)
        outcome.seconds = round(time.monotonic() - clock, 1)
        _tell(outcome)
    return outcome


def mark_of_audit_key(vault: Vault) -> str:
    """Tells two keys apart and says nothing of either."""
    return vault.key.mark(f"AUDIT_KEY {settings.AUDIT_KEY}").hex()[:16]


def read_release() -> str:
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])


def _begin(found: Found) -> datetime:
    """Now, or the next second where a backup of this one is there."""
    taken = {backup.name for backup in found.good}.union(found.unfinished, found.damaged)
    while (began := timezone.now()).strftime(WHEN) in taken:
        time.sleep(0.1)
    return began


def _write_set(
    vault: Vault, found: Found, began: datetime, listing: IO[bytes], advance: Callable[[int], None]
) -> tuple[Manifest, Copied]:
    name, copied = began.strftime(WHEN), Copied()
    migrations, counts = rows.migrations(), {"cases": Case.objects.count(), ENTRIES: chain_head().sequence}
    with closing(_known(vault, found)) as known:
        before = SideBySide(known, lambda entry: entry.key)
        _list_copies(copy_folder(vault, AUDIT_HEADS, before, copied), listing, advance)
        with rows.dump_rows() as stream:
            dump = vault.put(f"{SETS}{name}/rows", stream)
        for folder in (*FOLDERS, MODELS):
            _list_copies(copy_folder(vault, folder, before, copied), listing, advance)
    manifest = Manifest(
        name=name,
        began=began.isoformat(),
        release=read_release(),
        engine=connection.vendor,
        migrations=migrations,
        counts=counts | copied.counts,
        audit_key=mark_of_audit_key(vault),
        rows=dump,
        objects=_put_listing(vault, f"{SETS}{name}/objects", listing),
        purged=_put_purged(vault, f"{SETS}{name}/purged"),
        object_bytes=copied.size_bytes,
        missing=_count_missing(copied),
        ended=timezone.now().isoformat(),
    )
    vault.write_manifest(manifest)
    return manifest, copied


def _known(vault: Vault, found: Found) -> Generator[Entry, None, None]:
    """What the newest backup that counts has named."""
    if found.good:
        yield from vault.entries(found.good[0].name)


def _list_copies(entries: Iterator[Entry], listing: IO[bytes], advance: Callable[[int], None]) -> None:
    for entry in entries:
        write_line(listing, {"key": entry.key, "size": entry.size, "sha256": entry.sha256, "modified": entry.modified})
        advance(1)


def _put_listing(vault: Vault, name: str, listing: IO[bytes]) -> Part:
    listing.seek(0)
    return vault.put(name, listing)


def _put_purged(vault: Vault, name: str) -> Part:
    with tempfile.TemporaryFile() as listing:
        for key, at in removed_objects():
            write_line(listing, {"key": key, "at": at.isoformat()})
        return _put_listing(vault, name, listing)


def _count_missing(copied: Copied) -> int:
    """A film that is lost cannot keep all others from being backed up; it is told instead.

    Raises `BackupError` where none was found of those that rows name: a disk that is not mounted, or another's bucket.
    """
    wrong = {Kind.MISSING, Kind.DAMAGED, Kind.UNREADABLE}
    missing = sum(finding.kind in wrong for finding in verify_storage(quick=True))
    if missing and not copied.counts.get(ORIGINALS) and Case.objects.with_film().exists():
        raise BackupError("The storage holds not one of the films that the database names. Is its disk mounted? See: doctor")
    return missing


def _tell(outcome: Outcome) -> None:
    manifest = outcome.manifest
    telling.tell_success(
        {
            telling.SUCCESS: round(manifest.began_at.timestamp(), 1),
            "portal_backup_duration_seconds": outcome.seconds,
            "portal_backup_size_bytes": manifest.rows.size + manifest.object_bytes,
            "portal_backup_copied_bytes": manifest.rows.size + outcome.copied.new_bytes,
            "portal_backup_missing_objects": manifest.missing,
        }
    )
