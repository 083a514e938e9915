import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Sum
from django.template.defaultfilters import filesizeformat

from diagnostics.exceptions import StorageUnavailableError
from diagnostics.management.progress import progress_bar
from diagnostics.services.purging import purge_expired_images, to_purge


class Command(BaseCommand):
    help = (
        "Remove the films that were uploaded longer ago than IMAGE_RETENTION_DAYS (0: films are kept for ever): original, "
        "picture for the browser and heatmaps. The case, its result and its reviews stay. A case that waits for its analysis "
        "is left alone. May be interrupted and run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say how many, change nothing")
        parser.add_argument("--json", action="store_true", help="print the counts as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        days: int = settings.IMAGE_RETENTION_DAYS
        expired = to_purge(days=days)
        found = expired.count()
        facts = {"retention_days": days, "expired": found, "removed": 0, "bytes": 0}
        if options["dry_run"]:
            facts["bytes"] = expired.aggregate(size=Sum("size_bytes", default=0))["size"]
        else:
            facts |= self._purge(days, found)
        if options["json"]:
            self.stdout.write(json.dumps(facts))
            return
        size = filesizeformat(facts["bytes"])
        kept = f"kept for {days} days" if days else "kept for ever (IMAGE_RETENTION_DAYS is 0)"
        done = "would be removed" if options["dry_run"] else "removed"
        count = found if options["dry_run"] else facts["removed"]
        self.stdout.write(f"Films are {kept}. {count} film(s) {done}, {size}.")

    def _purge(self, days: int, found: int) -> dict[str, int]:
        try:
            with progress_bar("Removing films", total=found) as advance:
                report = purge_expired_images(days=days, advance=advance)
        except StorageUnavailableError as error:
            raise CommandError(
                f"The storage does not answer ({error}). Run this again: it goes on where it stopped."
            ) from error
        return {"removed": report.removed, "bytes": report.size_bytes}
