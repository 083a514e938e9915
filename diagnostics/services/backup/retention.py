"""Which backups are kept, and what of the objects goes with the others."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from typing import IO

from django.utils import timezone

from diagnostics.services.backup.objects import FOLDERS, MODELS, in_parallel
from diagnostics.services.backup.sets import OBJECTS, SETS, Found, Manifest, SideBySide, Vault, key_of
from diagnostics.storage import AUDIT_HEADS

PERIODS: Mapping[str, Callable[[datetime], tuple[int, ...]]] = {
    "days": lambda at: (at.year, at.month, at.day),
    "weeks": lambda at: at.isocalendar()[:2],
    "months": lambda at: (at.year, at.month),
}


def choose_kept(backups: list[Manifest], keep: Mapping[str, int]) -> list[Manifest]:
    """The last one of each of the latest days, weeks and months that have one, newest first; always the newest of all.

    Those from before a database went back count apart: an emptied machine's backup never takes the place of a full one's.
    """
    backups = sorted(backups, key=lambda backup: backup.began_at, reverse=True)
    kept = {backup.name for backup in backups[:1]}
    lines = _lines(backups)
    for period, period_of in PERIODS.items():
        last: dict[tuple[int, ...], str] = {}
        for backup, line in zip(backups, lines, strict=True):
            last.setdefault((line, *period_of(backup.began_at)), backup.name)
        kept.update(list(last.values())[: keep[period]])
    return [backup for backup in backups if backup.name in kept]


def _lines(backups: list[Manifest]) -> list[int]:
    """Of each backup, newest first, how often the audit log has become shorter since."""
    breaks = [older.entries > newer.entries for newer, older in pairwise(backups)]
    return list(accumulate(breaks, initial=0)) if backups else []


def apply_retention(vault: Vault, found: Found, *, keep: Mapping[str, int], forget_days: int) -> dict[str, int]:
    """Remove backups whose time is over, what was never finished, and the objects that no kept backup names.

    A film that was purged `forget_days` ago goes from the older backups too, as the newest one's list says. Where a backup does
    not open, nobody knows what it names: then no object is removed. Raises `BackupError`.
    """
    kept = choose_kept(found.good, keep)
    names = {backup.name for backup in kept}
    gone = [backup.name for backup in found.good if backup.name not in names] + found.unfinished
    for name in gone:
        _remove_set(vault, name)
    vault.target.tidy()
    swept = 0 if found.damaged else _sweep(vault, kept, forget_days)
    return {"kept": len(kept), "removed": len(gone), "objects removed": swept}


def _remove_set(vault: Vault, name: str) -> None:
    """The manifest first: what is removed by halves is no backup."""
    for part in ("manifest", "rows", "objects", "purged"):
        vault.target.delete(f"{SETS}{name}/{part}")


def _sweep(vault: Vault, kept: list[Manifest], forget_days: int) -> int:
    """All lists have one order, so that none of them is ever in memory as a whole. Each is read after the one before it is done
    with, and only while there is something left that it could name: most nights the newest backup names nearly everything."""
    until = timezone.now() - timedelta(days=forget_days)
    forgotten = SideBySide((key for key, at in vault.purged(kept[0].name) if at < until), lambda key: key)
    newest, *older = kept
    named = SideBySide(vault.object_names(newest.name), str)
    with ExitStack() as files:
        doomed, unnamed = (files.enter_context(tempfile.TemporaryFile()) for _ in range(2))
        for folder in (AUDIT_HEADS, *FOLDERS, MODELS):
            for name, _ in vault.target.list(f"{OBJECTS}{folder}/"):
                if forgotten.take(key_of(name)):
                    _write(doomed, name)
                elif not named.take(name):
                    _write(unnamed, name)
        for backup in older:
            if unnamed.tell():
                rest = files.enter_context(tempfile.TemporaryFile())
                _write_unnamed(vault, backup, unnamed, rest)
                unnamed = rest
        return sum(1 for names in (doomed, unnamed) for _ in in_parallel(vault.target.delete, _read(names)))


def _write_unnamed(vault: Vault, backup: Manifest, names: IO[bytes], rest: IO[bytes]) -> None:
    """Those that this backup does not name either."""
    named = SideBySide(vault.object_names(backup.name), str)
    for name in _read(names):
        if not named.take(name):
            _write(rest, name)


def _write(file: IO[bytes], name: str) -> None:
    file.write(f"{name}\n".encode())


def _read(file: IO[bytes]) -> Iterator[str]:
    file.seek(0)
    return (line.decode().rstrip("\n") for line in file)
