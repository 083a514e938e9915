"""Walk the audit log's chain."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import audit
from accounts.audit import Head
from diagnostics.exceptions import StorageUnavailableError, StoredFilmDamagedError
from diagnostics.services.kept_heads import kept_in_file, kept_in_storage


class Command(BaseCommand):
    help = (
        "Check that the audit log is whole: every entry in its place and unchanged, and every end of it that reconcile kept "
        "beside the films (or that --heads names) still in it. Names the first bad entry; exit code 1 when there is one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--heads", type=Path, metavar="FILE", help="ends kept elsewhere: one JSON object a line")
        parser.add_argument("--no-storage", action="store_true", help="do not read the ends that are kept beside the films")
        parser.add_argument("--json", action="store_true", help="print the outcome as one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            kept = list(self._kept(options))
        except (OSError, ValueError, StorageUnavailableError, StoredFilmDamagedError) as error:
            raise CommandError(f"The kept ends of the log cannot be read: {error}") from error
        found = audit.verify(kept=iter(kept))
        if options["json"]:
            facts = {"entries": found.entries, "problem": found.problem, "bad_entry": found.bad_sequence, "kept": len(kept)}
            self.stdout.write(json.dumps({**facts, "head": found.head.as_dict()}))
        if found.problem:
            raise CommandError(f"The audit log is not whole. {found.problem} {found.entries} before it are.")
        if not options["json"]:
            self.stdout.write(f"{found.entries} entries, in order and unchanged; {len(kept)} kept ends agree.")

    def _kept(self, options: dict[str, Any]) -> Iterator[Head]:
        if options["heads"]:
            yield from kept_in_file(options["heads"])
        if not options["no_storage"]:
            yield from kept_in_storage()
