import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.template.defaultfilters import filesizeformat

from diagnostics.exceptions import BackupError, StorageUnavailableError
from diagnostics.management.progress import progress_bar
from diagnostics.services.backup.making import Outcome, make_backup
from diagnostics.services.backup.sets import open_vault
from diagnostics.services.verification import count_rows


class Command(BaseCommand):
    help = (
        "Copy the database and all that lies beside it to BACKUP_TARGET, sealed with the key in BACKUP_KEY_FILE, and remove "
        "the backups whose time is over. Objects that the target holds already are not copied again; a run that was cut off is "
        "no backup, and the next one goes on with what it copied. For a timer, and for before a risky step."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the outcome as one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            vault = open_vault()
            with progress_bar("Copying", total=count_rows()) as advance:
                outcome = make_backup(vault, advance=advance)
        except StorageUnavailableError as error:
            raise CommandError(f"The storage of films does not answer: {error}") from error
        except BackupError as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError("The database does not answer, or lacks its tables.") from error
        except OSError as error:
            raise CommandError(f"This machine's own disk fails: {error.strerror}.") from error
        self._warn(outcome)
        manifest = outcome.manifest
        if options["json"]:
            facts = asdict(outcome) | {"ok": True, "name": manifest.name}
            del facts["manifest"]["migrations"]
            self.stdout.write(json.dumps(facts))
            return
        whole = manifest.rows.size + manifest.object_bytes
        self.stdout.write(
            f"Backup {manifest.name}: {manifest.counts['cases']} case(s), {sum(outcome.copied.counts.values())} object(s), "
            f"{filesizeformat(whole)}; {outcome.copied.new} object(s) were new, {filesizeformat(outcome.copied.new_bytes)}. "
            f"{outcome.seconds:.1f} s. {outcome.retention['kept']} backup(s) are kept, {outcome.retention['removed']} removed."
        )

    def _warn(self, outcome: Outcome) -> None:
        if outcome.manifest.missing:
            self.stderr.write(
                f"{outcome.manifest.missing} object(s) that rows name are missing or damaged in the storage of films, and in "
                "this backup. Run verify_storage; an earlier backup may have them."
            )
        if outcome.ahead:
            self.stderr.write(
                f"The database knows fewer entries of the audit log than backup {outcome.ahead}: it was emptied, put back, or "
                "is another's. That backup and those before it are kept beside this one."
            )
        for name in outcome.damaged:
            self.stderr.write(
                f"The manifest of backup {name} is damaged. Until sets/{name} is removed by hand no object is removed either."
            )
