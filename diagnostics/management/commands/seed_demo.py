import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from diagnostics.demo import seed_cases, seed_logins
from diagnostics.exceptions import StorageUnavailableError


class Command(BaseCommand):
    help = (
        "Make a demo hospital with one log-in per role (printed, and kept in var/demo-logins.json) and a dozen cases from "
        "synthetic films. Running it again changes nothing that is there. Not for production: it refuses to run there."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the log-ins as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        if not settings.EMBEDDED:
            raise CommandError("Demo log-ins belong to the embedded set-up; PORTAL_PROFILE is production.")
        path = settings.VAR_DIR / "demo-logins.json"
        logins = seed_logins(path)
        try:
            made = seed_cases()
        except StorageUnavailableError as error:
            raise CommandError("The storage of films cannot be written: is the disk full?") from error
        if options["json"]:
            self.stdout.write(json.dumps(logins))
            return
        width = max(len(login["email"]) for login in logins.values())
        self.stdout.write("Demo log-ins:")
        for key, login in logins.items():
            code = f"   code: .venv/bin/python manage.py demo_code {key}" if "totp_secret" in login else ""
            self.stdout.write(f"  {key:<12} {login['email']:<{width}}  {login['password']}{code}")
        self.stdout.write(f"They are kept in {path}, with API tokens." + (f" {made} demo films queued." if made else ""))
