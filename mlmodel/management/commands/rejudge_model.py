"""Make a version's documents anew."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mlmodel.management.judging import describe_metrics
from mlmodel.types import ModelError


class Command(BaseCommand):
    help = (
        "Judge a version again on the test part of its own split, with the gate that it has, and write a copy of the artifact "
        "whose evaluation, predictions, card and curves are new. Weights, graph, calibration, operating point, gate and split "
        "stay as they are, byte for byte. For a version whose documents were made by an earlier release."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("artifact", type=Path, metavar="DIR", help="the version's directory")
        parser.add_argument("--data", type=Path, required=True, help="the films that it was trained and judged on")
        parser.add_argument("--out", type=Path, required=True, help="copy to write; its name is the version's")
        parser.add_argument("--quiet", action="store_true", help="no progress bar")
        parser.add_argument("--json", action="store_true", help="print the metrics as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        from mlmodel.training.backend import BackendError, load_backend

        try:
            load_backend()
            metrics = self._rejudge(options)
        except (BackendError, ModelError, ValueError) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"The artifact could not be written: {error}.") from error
        if options["json"]:
            self.stdout.write(json.dumps({"version": options["out"].name, "metrics": metrics}))
            return
        for line in describe_metrics(metrics):
            self.stdout.write(line)
        self.stdout.write(f"Written to {options['out']}")

    def _rejudge(self, options: dict[str, Any]) -> dict[str, Any]:
        from mlmodel.training.dataset import DataError
        from mlmodel.training.progress import Progress
        from mlmodel.training.rejudging import rejudge_version

        try:
            with Progress(quiet=options["quiet"]) as progress:
                return rejudge_version(source=options["artifact"], data=options["data"], out=options["out"], progress=progress)
        except DataError as error:
            raise CommandError(str(error)) from error
