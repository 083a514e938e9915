import json
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from diagnostics.models import Case
from diagnostics.services.administration import REPEATABLE, requeue_case


class Command(BaseCommand):
    help = (
        "Have failed or refused cases analysed again, for example after an outage of the storage: all with a code, or the "
        "cases named by id."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="*", metavar="ID", help="case ids")
        parser.add_argument("--code", help="every failed or refused case with this code, such as STORAGE or WORKER_LOST")
        parser.add_argument("--dry-run", action="store_true", help="say how many, change nothing")
        parser.add_argument("--json", action="store_true", help="print the counts as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        cases = self._select(options["ids"], options["code"])
        found = cases.count()
        done = 0 if options["dry_run"] else sum(requeue_case(case=case) for case in cases)
        if options["json"]:
            self.stdout.write(json.dumps({"found": found, "requeued": done}))
        else:
            self.stdout.write(f"{found} case(s) found, {done} put back into the queue.")

    def _select(self, ids: list[str], code: str | None) -> Any:
        cases = Case.objects.filter(state__in=REPEATABLE).order_by("created_at")
        if bool(ids) == bool(code):
            raise CommandError("Name case ids, or --code CODE.")
        if code:
            return cases.filter(refusal_code=code) | cases.filter(failure_code=code)
        try:
            return cases.filter(pk__in=[UUID(text) for text in ids])
        except ValueError as error:
            raise CommandError("An id is no UUID.") from error
