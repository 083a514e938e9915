import json
import logging
import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError, connection

from diagnostics.monitoring.instruments import start_exporter
from diagnostics.services.reconciliation import MOST_PAUSE, reconcile, seconds_to_next_pass

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Repair what was lost: cases whose worker is gone go back to the queue (or fail after their last attempt), and cases "
        "that wait too long get a new wake-up call. A version that is beyond a stop rule is taken out of service. "
        "Runs until SIGTERM; any number may run at once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="one pass, then exit")
        most = f"most seconds between passes (default: {MOST_PAUSE:g})"
        parser.add_argument("--interval", type=float, default=MOST_PAUSE, help=most)
        parser.add_argument("--json", action="store_true", help="print each pass as one JSON line")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["interval"] <= 0:
            raise CommandError(f"--interval is a number of seconds above 0. Received: {options['interval']}")
        if options["once"]:
            self._pass(as_json=options["json"])
            return
        start_exporter(settings.RECONCILE_METRICS_PORT)
        stopping = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopping.set())
        while not stopping.is_set():
            pause = options["interval"]
            try:
                self._pass(as_json=options["json"])
                pause = seconds_to_next_pass(interval=pause)
            except (OperationalError, InterfaceError) as error:
                logger.warning("database unavailable: %s", type(error).__name__)
                connection.close()
            stopping.wait(pause)

    def _pass(self, *, as_json: bool) -> None:
        done = reconcile()
        since = done.oldest_queued_at.isoformat() if done.oldest_queued_at else None
        facts = {"requeued": done.requeued, "failed": done.failed, "rung": done.rung, "oldest_queued_at": since}
        facts["suspended"] = done.suspended
        if as_json:
            self.stdout.write(json.dumps(facts))
        elif any(facts.values()):
            self.stdout.write(", ".join(f"{name}: {value}" for name, value in facts.items()))
