"""When a backup last succeeded, for Prometheus (node exporter's textfile collector) and for `doctor`."""

import re
from pathlib import Path
from uuid import uuid4

from django.conf import settings

from diagnostics.exceptions import BackupError

FILE = "portal_backup.prom"
SUCCESS = "portal_backup_success_timestamp_seconds"
HELP = {
    SUCCESS: "When the last backup that succeeded began, in seconds since 1970.",
    "portal_backup_duration_seconds": "How long it took.",
    "portal_backup_size_bytes": "Bytes of the rows and objects that it names, before they were sealed.",
    "portal_backup_copied_bytes": "Bytes of those that were carried to the target.",
    "portal_backup_missing_objects": "Objects that rows name and the storage of films did not hold.",
}


def tell_success(values: dict[str, float]) -> None:
    """Replace the file in one step: whoever reads it finds the last success or this one. Raises `BackupError`."""
    lines = [f"# HELP {name} {HELP[name]}\n# TYPE {name} gauge\n{name} {value}\n" for name, value in values.items()]
    path = _file()
    draft = path.with_name(f".{uuid4().hex}")  # the collector takes names in .prom alone
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
            path.parent.chmod(0o755)  # the exporter is another user
        draft.write_text("".join(lines), encoding="ascii")
        draft.chmod(0o644)
        draft.replace(path)
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror}. The backup itself is complete.") from error
    finally:
        draft.unlink(missing_ok=True)


def last_success() -> float | None:
    """Seconds since 1970; None where no backup has ever succeeded on this machine."""
    try:
        found = re.search(rf"^{SUCCESS} ([0-9.e+]+)$", _file().read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return None
    return float(found[1]) if found else None


def _file() -> Path:
    return Path(settings.BACKUP_METRICS_DIR) / FILE
