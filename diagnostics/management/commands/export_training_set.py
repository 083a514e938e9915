"""Write what clinicians have signed as a de-identified training set."""

import json
import signal
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import Progress

from accounts.models import Hospital
from diagnostics.models import Review
from diagnostics.services.training_set import PIXELS_NOT_SEARCHED, ExportError, ExportReport, export_reviews, find_reviews
from mlmodel import api


class Command(BaseCommand):
    help = (
        "Write the films that clinicians have signed a finding for to DIR, as PNG without any metadata and grouped by patient, "
        "with manifest.csv (file, label, patient under a pseudonym, source, licence, sha256, sex, age_band, age_years, device) "
        "for train_model. The latest signed review of a film counts; uncertain films are left out, and so are DICOM files that "
        "declare burned-in annotation. Pixels are not searched for text: look at the films before they leave the hospital."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make; must not exist")
        parser.add_argument("--since", metavar="DATE", help="only reviews signed on or after this day (ISO)")
        parser.add_argument("--hospital", metavar="NAME", help="only films of this hospital")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        reviews = list(find_reviews(since=_read_date(options["since"]), hospital=_find_hospital(options["hospital"])))
        # Terminated, it cleans up as for Ctrl-C
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            report = run_export(reviews, options["out"], quiet=options["json"])
        except ExportError as error:
            raise CommandError(str(error)) from error
        except api.DecoderUnavailableError as error:
            raise CommandError(f"The films cannot be decoded: {error}") from error
        except OSError as error:
            raise CommandError(f"{options['out']} could not be written: {error.strerror or error}") from error
        finally:
            signal.signal(signal.SIGTERM, before)
        self._print(report, options)

    def _print(self, report: ExportReport, options: dict[str, Any]) -> None:
        counts = report.as_dict()
        if options["json"]:
            left_out = [{"case": case, "reason": reason} for case, reason in report.left_out]
            self.stdout.write(json.dumps({"out": str(options["out"]), **counts, "left_out_cases": left_out}))
            return
        for case, reason in report.left_out:
            self.stdout.write(f"left out: {case}: {reason}")
        self.stdout.write(f"{counts['films']} films of {counts['patients']} patients written to {options['out']}")
        self.stdout.write(PIXELS_NOT_SEARCHED)


def run_export(reviews: Sequence[Review], out: Path, *, quiet: bool) -> ExportReport:
    """The export with its decoding children and a bar on standard error. Raises as `export_reviews` does."""
    decoders = api.open_decoders(settings.WORKER_DECODERS)
    try:
        with Progress(console=Console(stderr=True), disable=quiet) as bars:
            task = bars.add_task("Writing films", total=len(reviews))
            return export_reviews(reviews=reviews, out=out, decoders=decoders, advance=lambda count: bars.advance(task, count))
    finally:
        decoders.close()


def _read_date(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise CommandError(f"--since is a date such as 2026-11-23. Received: {text!r}") from error


def _find_hospital(name: str | None) -> Hospital | None:
    if name is None:
        return None
    try:
        return Hospital.objects.get(name=name)
    except Hospital.DoesNotExist as error:
        raise CommandError(f"There is no hospital {name!r}.") from error
