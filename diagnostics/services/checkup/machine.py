"""This machine: free disk, and who may read the secrets."""

import os
import shutil
from pathlib import Path

from django.conf import settings

from diagnostics.services.checkup.findings import Finding, error, ok, warning, worst

LOW, VERY_LOW = 5 * 1024**3, 1024**3  # bytes free
GROUP, OTHERS = 0o070, 0o007
# What lies directly in VAR_DIR and tells secrets or patients' data to whoever can read it
CONFIDENTIAL = (
    "secret_key",
    "pseudonym_key",
    "audit_key",
    "portal.sqlite3",
    "portal.sqlite3-wal",
    "demo-logins.json",
    "media",
    "mail",
    "uploads",
)


def check_disk() -> Finding:
    complaints, free = [], []
    for directory in _directories():
        if not os.access(directory, os.W_OK):
            complaints.append(error(f"{directory} cannot be written", "Give it to the user that the portal runs as."))
        left = shutil.disk_usage(directory).free
        free.append(left)
        if left < LOW:
            complain = error if left < VERY_LOW else warning
            complaints.append(complain(f"{left / 1024**3:.1f} GB free at {directory}", "Free some, or enlarge the volume."))
    return worst(complaints, otherwise=f"{min(free) / 1024**3:.0f} GB free")


def _directories() -> list[Path]:
    """Those that are written to; of several on one volume the first."""
    wanted = [settings.VAR_DIR, Path(settings.FILE_UPLOAD_TEMP_DIR)]
    if settings.STORAGE_BACKEND == "local":
        wanted.append(settings.MEDIA_DIR)
    return list({path.stat().st_dev: path for path in reversed(wanted) if path.is_dir()}.values())


def check_secret_modes() -> Finding:
    """Every file that a secret was read from."""
    complaints = []
    for name, path in sorted(settings.SECRET_FILES.items()):
        mode = path.stat().st_mode
        if mode & (GROUP | OTHERS):
            complain = error if mode & OTHERS else warning
            who = "everybody" if mode & OTHERS else "its group"
            complaints.append(complain(f"{name} can be read by {who}", f"Run: chmod 600 {path}"))
    count = len(settings.SECRET_FILES)
    return worst(complaints, otherwise=f"{count} file(s), for their owner alone" if count else "none comes from a file")


def check_state_directory() -> Finding:
    """A directory that only its owner enters keeps all that lies in it."""
    directory: Path = settings.VAR_DIR
    if not directory.stat().st_mode & (GROUP | OTHERS):
        return ok("for its owner alone")
    found = [directory / name for name in CONFIDENTIAL]
    open_to_others = [path.name for path in found if path.exists() and path.stat().st_mode & _closed_to(path.name)]
    if open_to_others:
        return error(f"others can read {', '.join(open_to_others)}", f"Run: chmod 700 {directory}")
    return ok("what is confidential is for its owner alone")


def _closed_to(name: str) -> int:
    """A proxy that sends the films reads them, as their group."""
    return OTHERS if name == "media" and settings.LOCAL_FILMS_BY_PROXY else GROUP | OTHERS
