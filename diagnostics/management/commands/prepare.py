import json
import logging
import os
import shutil
import socket
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    help = (
        "Make the installation ready to start: migrations, the cache's table, static files, and with --demo the demo hospital. "
        "Running it again does no harm."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--demo", action="store_true", help="also seed the demo hospital and print its log-ins")
        parser.add_argument("--port", type=int, help="fail early when this port of 127.0.0.1 is taken")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["port"] is not None:
            self._check_port(options["port"])
        call_command("migrate", interactive=False, verbosity=0)
        call_command("createcachetable", verbosity=0)
        _collect_static()
        if options["demo"] and settings.EMBEDDED:
            # Redis is not up yet, and the worker will find the films by looking.
            logging.getLogger("diagnostics.queue").setLevel(logging.ERROR)
            call_command("seed_demo", stdout=self.stdout)

    def _check_port(self, port: int) -> None:
        if not 1 <= port <= 65_535:
            raise CommandError(f"PORT is 1 to 65535. Received: {port}")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise CommandError(f"Port {port} is taken. Choose another: make run PORT=8001") from error


def _collect_static() -> None:
    """A power cut during an earlier run may have left empty files, which would be taken for finished ones for ever."""
    with suppress(FileNotFoundError):
        try:
            json.loads((settings.STATIC_ROOT / "staticfiles.json").read_bytes())
        except ValueError:
            shutil.rmtree(settings.STATIC_ROOT)
    call_command("collectstatic", interactive=False, verbosity=0)
    os.sync()
