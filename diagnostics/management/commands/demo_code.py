import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.second_factor import code_now


class Command(BaseCommand):
    help = (
        "Print the six digits that the second step of a demo log-in asks for, as an authenticator app would show them. "
        "Each works once; a new one comes every half minute."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("who", nargs="?", default="admin", help="admin or operator (default: admin)")

    def handle(self, *_args: Any, who: str, **_options: Any) -> None:
        try:
            logins = json.loads((settings.VAR_DIR / "demo-logins.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CommandError("There are no demo log-ins here: `make run` makes them.") from error
        secret = logins.get(who, {}).get("totp_secret")
        if secret is None:
            raise CommandError(f"This demo log-in has no second step. Received: {who}")
        self.stdout.write(code_now(secret))
