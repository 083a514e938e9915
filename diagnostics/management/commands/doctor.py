import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from diagnostics.services.checkup import Finding, Level, examine


class Command(BaseCommand):
    help = (
        "Say in plain words what is wrong with this installation and how to mend it: database, migrations, Redis, storage, "
        "model, workers, clock, backup, disk, secrets, TLS, mail. Exit code 1 when something is wrong; a warning is nothing "
        "wrong."
    )
    requires_system_checks = []  # they are one of the checks, and must not keep the others from being made

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the findings as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        findings = examine()
        wrong = [name for name, finding in findings.items() if finding.level is Level.ERROR]
        if options["json"]:
            found = [{"part": name, **asdict(finding)} for name, finding in findings.items()]
            self.stdout.write(json.dumps({"ok": not wrong, "findings": found}))
        else:
            for name, finding in findings.items():
                self._tell(name, finding)
            self.stdout.write(f"Wrong: {', '.join(wrong)}." if wrong else "Nothing is wrong.")
        if wrong:
            raise SystemExit(1)

    def _tell(self, name: str, finding: Finding) -> None:
        styles = {Level.OK: self.style.SUCCESS, Level.WARNING: self.style.WARNING, Level.ERROR: self.style.ERROR}
        self.stdout.write(f"{styles[finding.level](finding.level.value.rjust(7))}  {name}: {finding.what}")
        if finding.mend:
            self.stdout.write(f"{'':9}{finding.mend}")
