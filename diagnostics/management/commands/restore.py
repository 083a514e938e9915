import json
from io import StringIO
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from diagnostics.exceptions import BackupError, StorageUnavailableError
from diagnostics.management.progress import progress_bar
from diagnostics.services.backup.objects import FOLDERS, MODELS
from diagnostics.services.backup.restoring import Restored, check_backup, choose_backup, restore_backup
from diagnostics.services.backup.sets import Manifest, Vault, open_vault
from diagnostics.storage import AUDIT_HEADS

CHECKS = ("verify_storage", "verify_audit")


class Command(BaseCommand):
    help = (
        "Fill an empty database and an empty storage from a backup in BACKUP_TARGET: the newest, or the one that is named. "
        "Every hash is compared on the way; at the end verify_storage and verify_audit run, and the time taken and lost is "
        "told. The portal's services must be stopped, and AUDIT_KEY must be the one of the backup's time."
    )
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("backup", nargs="?", metavar="BACKUP", help="a name from --list; the newest where none is given")
        parser.add_argument("--list", action="store_true", help="list the backups, change nothing")
        parser.add_argument("--check", action="store_true", help="read and prove the whole backup, change nothing")
        parser.add_argument(
            "--replace",
            action="store_true",
            help="overwrite what is there: rows are replaced, objects written over; objects that the backup does not name stay",
        )
        parser.add_argument("--json", action="store_true", help="print the outcome as one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            vault = open_vault()
            if options["list"]:
                self._list(vault, as_json=options["json"])
                return
            backup = choose_backup(vault, options["backup"])
            done = self._carry(vault, backup, options)
        except BackupError as error:
            raise CommandError(str(error)) from error
        except StorageUnavailableError as error:
            raise CommandError(f"The storage of films does not answer: {error}") from error
        except DatabaseError as error:
            raise CommandError("The database does not answer, or refuses.") from error
        except OSError as error:
            raise CommandError(f"This machine's own disk fails: {error.strerror}.") from error
        self._tell(backup, done, options)

    def _carry(self, vault: Vault, backup: Manifest, options: dict[str, Any]) -> Restored:
        total = sum(backup.counts.get(folder, 0) for folder in (AUDIT_HEADS, *FOLDERS, MODELS))
        with progress_bar("Reading" if options["check"] else "Restoring", total=total) as advance:
            if options["check"]:
                return check_backup(vault, backup, advance=advance)
            return restore_backup(vault, backup, replace=options["replace"], advance=advance)

    def _list(self, vault: Vault, *, as_json: bool) -> None:
        found = vault.find_sets()
        if as_json:
            backups = [
                {"name": one.name, "began": one.began, "release": one.release, "counts": one.counts} for one in found.good
            ]
            self.stdout.write(json.dumps({"backups": backups, "unfinished": found.unfinished, "damaged": found.damaged}))
            return
        for one in found.good:
            size = filesizeformat(one.rows.size + one.object_bytes)
            lacks = f", {one.missing} object(s) were missing" if one.missing else ""
            self.stdout.write(f"{one.name}  release {one.release}, {one.counts['cases']} case(s), {size}{lacks}")
        for name in found.damaged:
            self.stdout.write(f"{name}  damaged: its manifest does not open")
        for name in found.unfinished:
            self.stdout.write(f"{name}  was never finished")

    def _tell(self, backup: Manifest, done: Restored, options: dict[str, Any]) -> None:
        facts = {"backup": backup.name, "objects": done.objects, "bytes": done.size_bytes, "seconds": done.seconds}
        size, said, problems = filesizeformat(done.size_bytes), list[str](), list[str]()
        if options["check"]:
            said.append(
                f"Backup {backup.name} is whole: the rows and {done.objects} object(s), {size}, in {done.seconds:.1f} s."
            )
        else:
            said.append(f"Restored backup {backup.name}: {done.objects} object(s), {size}, in {done.seconds:.1f} s.")
            facts |= self._tell_losses(done, said)
            problems = [problem for command in CHECKS if (problem := _verify(command, said))]
        if options["json"]:
            self.stdout.write(json.dumps(facts | {"ok": not problems, "problems": problems}))
        else:
            self.stdout.write("\n".join(said))
        if problems:
            raise CommandError(f"Restored, but not all is well: {' '.join(problems)}")

    def _tell_losses(self, done: Restored, said: list[str]) -> dict[str, Any]:
        lost, newest = None, done.newest_entry
        if newest:
            lost = round((timezone.now() - newest).total_seconds(), 1)
            said.append(f"The newest entry is of {newest:%Y-%m-%d %H:%M:%S} UTC, {lost:.0f} s ago: what came after it is lost.")
        if done.forgotten:
            said.append(f"{done.forgotten} object(s) of films that were purged since are in no backup any more.")
        waited = [str(case) for case in done.waited]
        said += [
            f"Case {case} waited for an analysis, and its film was purged since: it has failed (FILM_DAMAGED)."
            for case in waited
        ]
        return {
            "newest_entry": newest and newest.isoformat(),
            "lost_seconds": lost,
            "forgotten": done.forgotten,
            "waited": waited,
        }


def _verify(command: str, said: list[str]) -> str:
    """What the command found wrong; what it said is added to what is said here."""
    out = StringIO()
    try:
        call_command(command, stdout=out)
    except CommandError as error:
        return str(error)
    except SystemExit:
        return f"{command}: {out.getvalue().strip().splitlines()[-1]}"
    finally:
        said += [f"{command}: {line}" for line in out.getvalue().strip().splitlines()]
    return ""
