"""What the commands that change versions share: who asks, and that it is them."""

import sys
from argparse import ArgumentParser
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from mlmodel.services.errors import LifecycleError
from mlmodel.services.people import identify_person

if TYPE_CHECKING:
    from accounts.models import User

MAX_PASSWORD_BYTES = 4096


class PersonCommand(BaseCommand):
    """A command that a named operator gives; `change` does the work and returns what is printed.

    `LifecycleError` becomes the one line on which the command ends.
    """

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        # Django's own --version would take the name
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--by", metavar="EMAIL", help="the operator who asks; the password is asked for")
        parser.add_argument("--password-file", type=Path, metavar="FILE", help="read the password there (first line)")
        parser.add_argument("--reason", default="", help="kept in the record")
        parser.add_argument("--json", action="store_true", help="print what was done as one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            self.stdout.write(self.change(self._identify(options), options))
        except LifecycleError as error:
            raise CommandError(str(error)) from error

    def change(self, person: "User", options: dict[str, Any]) -> str:
        """Do it; raises `LifecycleError`."""
        raise NotImplementedError

    def _identify(self, options: dict[str, Any]) -> "User":
        if not options["by"]:
            raise CommandError("Say who asks: --by EMAIL, the address of an operator's account.")
        return identify_person(email=options["by"], password=_read_password(options["by"], options["password_file"]))


def _read_password(email: str, file: Path | None) -> str:
    if file is None:
        if not sys.stdin.isatty():
            raise CommandError("There is no terminal to ask for the password on: give --password-file FILE.")
        return getpass(f"Password of {email}: ")
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_PASSWORD_BYTES).decode().splitlines()[0]
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise CommandError(f"{file} holds no password that can be read.") from error
