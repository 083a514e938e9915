"""Whether a backup is made, and made lately."""

import time

from django.conf import settings

from diagnostics.exceptions import BackupError
from diagnostics.services.backup.sets import open_vault
from diagnostics.services.backup.telling import last_success
from diagnostics.services.checkup.findings import Finding, error, ok, warning

TOO_OLD = 26 * 3600  # seconds, as the alert has it


def check_backup() -> Finding:
    if not settings.BACKUP_TARGET:
        what = "this machine makes none"
        if settings.EMBEDDED:
            return ok(what)
        return warning(what, "One machine of the installation must: set BACKUP_TARGET there (deploy/backup/README.md).")
    try:
        open_vault()
    except BackupError as failure:
        return error(str(failure), "Mend the target or the key, then run: systemctl start portal-backup")
    success = last_success()
    mend = "Run: systemctl start portal-backup, and look at its log."
    if success is None:
        return error("none has succeeded on this machine", mend)
    hours = (time.time() - success) / 3600
    if hours * 3600 > TOO_OLD:
        return error(f"the last one that succeeded began {hours:.0f} hours ago", mend)
    return ok(f"the last one began {hours:.0f} hours ago")
