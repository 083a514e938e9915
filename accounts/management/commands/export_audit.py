"""Writes the audit log for another system."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import QuerySet
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.timezone import is_naive, make_aware

from accounts import audit
from accounts.audit import Action
from accounts.audit_export import FORMATS, in_order
from accounts.models import AuditEvent


class Command(BaseCommand):
    help = (
        "Write the audit log, oldest entry first, as CSV or as a Bundle of FHIR R4 AuditEvent resources. The export is an "
        "entry of the log itself."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=sorted(FORMATS), default="csv", help="csv (default) or fhir")
        parser.add_argument("--out", type=Path, metavar="FILE", help="file to make; must not exist (default: standard output)")
        parser.add_argument("--since", metavar="TIME", help="entries from this day or moment on (ISO)")
        parser.add_argument("--until", metavar="TIME", help="entries before this day or moment (ISO)")
        parser.add_argument("--patient", metavar="UUID", help="entries about this patient")

    def handle(self, *_args: Any, **options: Any) -> None:
        events, out = self._select(options), options["out"]
        if out is None:
            for line in self._lines(events, options):
                self.stdout.write(line, ending="")
        else:
            _write_file(out, self._lines(events, options))

    def _lines(self, events: QuerySet[AuditEvent], options: dict[str, Any]) -> Iterator[str]:
        """The entry is committed before the first line: one that held its lock until the last would stop every other."""
        write, _, _ = FORMATS[options["format"]]
        details = {"as": f"audit log, {options['format']}", "entries": events.count()}
        last = audit.record(Action.EXPORTED, actor=None, patient=_read_uuid(options["patient"]), details=details)
        yield from write(in_order(events.filter(sequence__lt=last.sequence)))

    def _select(self, options: dict[str, Any]) -> QuerySet[AuditEvent]:
        events = AuditEvent.objects.all()
        if since := _read_time("--since", options["since"]):
            events = events.filter(at__gte=since)
        if until := _read_time("--until", options["until"]):
            events = events.filter(at__lt=until)
        patient = _read_uuid(options["patient"])
        return events.filter(patient=patient) if patient else events


def _write_file(path: Path, lines: Iterator[str]) -> None:
    """The whole file or none."""
    try:
        with path.open("x", encoding="utf-8") as file:
            try:
                file.writelines(lines)
                file.flush()
            except BaseException:
                path.unlink()
                raise
    except FileExistsError as error:
        raise CommandError(f"{path} exists already.") from error
    except OSError as error:
        raise CommandError(f"{path} could not be written: {error.strerror or error}") from error


def _read_time(name: str, text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        day = parse_date(text)
        moment = datetime(day.year, day.month, day.day) if day else parse_datetime(text)  # noqa: DTZ001 - made aware below
    except ValueError:
        moment = None
    if moment is None:
        raise CommandError(f"{name} is a time such as 2026-11-23 or 2026-11-23T08:00:00Z. Received: {text!r}")
    return make_aware(moment) if is_naive(moment) else moment


def _read_uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError as error:
        raise CommandError(f"--patient is a patient's key (UUID). Received: {text!r}") from error
