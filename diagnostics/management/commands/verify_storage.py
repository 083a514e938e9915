import json
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import audit
from diagnostics.exceptions import StorageUnavailableError, StoredFilmDamagedError
from diagnostics.management.progress import progress_bar
from diagnostics.services.kept_heads import kept_in_storage
from diagnostics.services.verification import Finding, Kind, count_rows, delete_orphan, verify_storage
from diagnostics.storage import audit_head_key

MOST_LISTED = 1000  # findings in the JSON; the counts are of all
WORDS = {
    Kind.MISSING: "missing: a row names it, the storage does not hold it",
    Kind.DAMAGED: "damaged: not the bytes that were accepted",
    Kind.UNREADABLE: "unreadable: the storage does not give it out",
    Kind.ORPHAN: "orphan: no row names it",
    Kind.UNFINISHED: "unfinished: left over from an upload that was cut off",
    Kind.FRESH: "without a row, but younger than an hour: perhaps an upload that is going on",
}


class Command(BaseCommand):
    help = (
        "Compare the storage of films with the database: every row has its object, with the SHA-256 it was accepted with, and "
        "every object its row. Exit code 1 when something is wrong. What is younger than an hour and has no row is told and is "
        "nothing wrong."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--quick", action="store_true", help="existence and size alone: no film is read")
        parser.add_argument(
            "--delete-orphans",
            action="store_true",
            help="remove objects that no row names and that are older than an hour. Refused where the audit log is older than "
            "one of its ends beside the films: a restored database lacks rows, and the films with them would be lost",
        )
        parser.add_argument("--json", action="store_true", help="print the findings and their counts as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        self.counts, self.deleted = Counter[Kind](), 0
        self.listed: list[dict[str, str]] = []
        if options["delete_orphans"]:
            _refuse_older_database()
        try:
            checked = self._verify(options)
        except StorageUnavailableError as error:
            raise CommandError(f"The storage does not answer: {error}") from error
        wrong = sum(count for kind, count in self.counts.items() if kind is not Kind.FRESH) - self.deleted
        if options["json"]:
            counts = {kind.value: self.counts[kind] for kind in Kind}
            facts = {"ok": not wrong, "rows": checked, **counts, "deleted": self.deleted, "findings": self.listed}
            self.stdout.write(json.dumps(facts))
        else:
            self._summarise(checked, wrong)
        if wrong:
            raise SystemExit(1)

    def _verify(self, options: dict[str, Any]) -> int:
        total = count_rows()
        with progress_bar("Comparing", total=total) as advance:
            for finding in verify_storage(quick=options["quick"], advance=advance):
                deleted = options["delete_orphans"] and delete_orphan(finding)
                self._note(finding, deleted=deleted, as_json=options["json"])
        return total

    def _note(self, finding: Finding, *, deleted: bool, as_json: bool) -> None:
        self.counts[finding.kind] += 1
        self.deleted += deleted
        if not as_json:
            self.stdout.write(f"{finding.key}: {WORDS[finding.kind]}{' (removed)' if deleted else ''}")
        elif len(self.listed) < MOST_LISTED:
            case = {"case": str(finding.case_id)} if finding.case_id else {}
            self.listed.append({"kind": finding.kind.value, "key": finding.key, **case, "done": "removed" if deleted else ""})

    def _summarise(self, checked: int, wrong: int) -> None:
        found = ", ".join(f"{count} {kind.value}" for kind, count in sorted(self.counts.items())) or "nothing to tell"
        removed = f", {self.deleted} removed" if self.deleted else ""
        self.stdout.write(
            f"{checked} object(s) named by rows; {found}{removed}. {'Something is wrong.' if wrong else 'All is well.'}"
        )


def _refuse_older_database() -> None:
    """What is kept beside the films must be in the database: else an older one was restored, and its orphans are films."""
    try:
        unknown = next((head for head in kept_in_storage() if not audit.holds(head)), None)
    except (StorageUnavailableError, StoredFilmDamagedError, ValueError) as error:
        raise CommandError(f"Nothing was deleted: the kept ends of the audit log cannot be read ({error}).") from error
    if unknown:
        raise CommandError(
            f"Nothing was deleted: this database does not hold entry {unknown.sequence} of the audit log as it was kept beside "
            "the films. It is older than they are, and what no row names may be films of the hours between. Bring rows or "
            f"films to the same time; then move {audit_head_key(unknown.sequence)} and later ones elsewhere."
        )
