"""Prints a new API token once."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Scope, User
from accounts.tokens import create_api_token


class Command(BaseCommand):
    help = (
        "Make a bearer token for the API and print it, once: only its digest is kept. "
        "The token alone goes to standard output, so TOKEN=$(manage.py create_api_token EMAIL) works."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="the e-mail address of the user whom the token stands for")
        parser.add_argument("--days", default="90", help="how long the token lives (default: 90)")
        parser.add_argument(
            "--scope",
            action="append",
            metavar="SCOPE",
            help="what the token opens: cases:read, cases:write; repeat it for several (default: both)",
        )
        parser.add_argument("--json", action="store_true", help="print token, e-mail and expiry as one JSON object")

    def handle(self, *, email: str, days: str | int, **options: Any) -> None:
        user = User.objects.filter(email=email.lower()).first()
        if user is None:
            raise CommandError(f"There is no user with the e-mail address {email}.")
        try:
            row, token = create_api_token(user=user, days=whole_days(days), scopes=known_scopes(options["scope"]))
        except ValueError as error:
            raise CommandError(str(error)) from error
        expires = row.expires_at.isoformat(timespec="seconds")
        if options["json"]:
            self.stdout.write(
                json.dumps({"token": token, "email": user.email, "expires_at": expires, "scopes": row.scopes.split()})
            )
            return
        self.stdout.write(token)
        self.stderr.write(
            f"Token of {user.email} ({row.scopes}), valid until {expires}. It is not shown again.", self.style.SUCCESS
        )


def whole_days(text: str | int) -> int:
    """Read here and not by argparse, whose complaint is several lines of usage."""
    try:
        return int(text)
    except ValueError:
        raise CommandError(f"--days is a whole number. Received: {text}") from None


def known_scopes(given: list[str] | None) -> list[Scope]:
    """All of them where none is named."""
    try:
        return [Scope(name) for name in given or Scope.values]
    except ValueError:
        raise CommandError(f"--scope is {' or '.join(Scope.values)}. Received: {', '.join(given or [])}") from None
