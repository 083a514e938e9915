"""Entries of the audit log about backups: a copy of everything left this machine, or took the place of what was here.

A run that fails makes none: nothing that anybody can read has left, and the unit's journal and *BackupTooOld* tell of it.
"""

import os
import pwd
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from accounts import audit
from accounts.audit import Head
from diagnostics.services.backup.sets import Manifest

NOBODY = "nobody"
UNSET = 2**32 - 1  # the kernel's word for a process that no log-in began, as a timer's
LOGIN = Path("/proc/self/loginuid")


def enter_backup(backup: Manifest, *, objects: int, new: int) -> None:
    """An export of all patients' data."""
    details = {
        "by": operator(),
        "target": settings.BACKUP_TARGET,
        "cases": backup.counts["cases"],
        "objects": objects,
        "new": new,
    }
    _enter(audit.Action.BACKED_UP, backup, details)


def enter_restore(backup: Manifest, *, objects: int, forgotten: int, replaced: Head | None) -> None:
    """To be the first entry after those of the backup. `replaced`: where the log ended that this one took the place of."""
    details: dict[str, object] = {
        "by": operator(),
        "made": backup.began,
        "cases": backup.counts["cases"],
        "entries": backup.counts["audit entries"],
        "objects": objects,
        "forgotten": forgotten,
    }
    _enter(audit.Action.RESTORED, backup, details | ({"replaced": replaced.as_dict()} if replaced else {}))


def operator() -> str:
    """The operating system's name for who logged in to this machine, whatever `sudo` made of them; a timer's is its user."""
    user = os.getuid()
    with suppress(OSError, ValueError):
        if (login := int(LOGIN.read_text(encoding="ascii"))) != UNSET:
            user = login
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return NOBODY


def _enter(action: audit.Action, backup: Manifest, details: dict[str, object]) -> None:
    audit.record(action, actor=None, object_type="backup", object_id=backup.name, details=details)
