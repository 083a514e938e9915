import json
import logging
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.db.backends.utils import CursorWrapper

LOCK = 0x706F7274616C  # "portal", among the advisory locks of this database
LOCK_SECONDS, LOCK_LOOK_SECONDS = 900, 1.0


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
        with self._alone_at_the_database():
            call_command("migrate", interactive=False, verbosity=0)
            call_command("createcachetable", verbosity=0)
        _collect_static()
        if options["demo"] and settings.EMBEDDED:
            # Redis is not up yet, and the worker will find the films by looking.
            logging.getLogger("diagnostics.queue").setLevel(logging.ERROR)
            call_command("seed_demo", stdout=self.stdout)

    @contextmanager
    def _alone_at_the_database(self) -> Iterator[None]:
        """Of several machines that start at once one migrates, and the others wait for it: then there is nothing left to do.

        The lock is PostgreSQL's own, of a connection beside the one that migrates: it goes with the process, however that ends.
        """
        if connection.vendor != "postgresql":
            yield
            return
        beside = connection.copy()
        try:
            with beside.cursor() as cursor:
                self._wait_for_lock(cursor)
                try:
                    yield
                finally:  # a connection of the pool goes back there, and not away
                    cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
        finally:
            beside.close()

    def _wait_for_lock(self, cursor: CursorWrapper) -> None:
        end = time.monotonic() + LOCK_SECONDS
        is_first_try = True
        while True:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
            if cursor.fetchone() == (True,):
                return
            if time.monotonic() >= end:
                raise CommandError(f"Another machine has been preparing the database for over {LOCK_SECONDS} s. Look there.")
            if is_first_try:
                self.stderr.write("Another machine prepares the database: waiting for it.")
            is_first_try = False
            time.sleep(LOCK_LOOK_SECONDS)

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
