"""Join trained versions into one."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mlmodel.management.judging import add_judging_arguments, check_register, read_judging_options, report_candidate
from mlmodel.types import ModelError

SENSITIVITY = 0.95


class Command(BaseCommand):
    help = (
        "Join versions of the same network, trained on the same split, into one candidate that answers with the mean of their "
        "logits, and calibrate and judge it as a whole. Nothing is trained."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("members", nargs="+", type=Path, metavar="DIR", help="artifact of a version")
        parser.add_argument("--data", type=Path, required=True, help="the films that they were trained on")
        parser.add_argument("--out", type=Path, required=True, help="artifact to write; its name is the version")
        add_judging_arguments(parser)
        parser.add_argument("--cache", type=Path, metavar="DIR", help="decoded films, as train_model keeps them")
        parser.add_argument("--register", action="store_true", help="enter the version in the registry as a candidate")
        parser.add_argument("--quiet", action="store_true", help="no progress bar")
        parser.add_argument("--json", action="store_true", help="print the metrics as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        from mlmodel.training.backend import BackendError, load_backend

        try:
            check_register(options)
            load_backend()
            metrics = self._combine(options)
        except (BackendError, ModelError, ValueError) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"The artifact could not be written: {error}.") from error
        report_candidate(self.stdout, options, metrics)

    def _combine(self, options: dict[str, Any]) -> dict[str, Any]:
        from mlmodel.training.dataset import DataError
        from mlmodel.training.pipeline import combine_candidates
        from mlmodel.training.progress import Progress

        try:
            with Progress(quiet=options["quiet"]) as progress:
                return combine_candidates(
                    members=options["members"],
                    data=options["data"],
                    out=options["out"],
                    progress=progress,
                    judging=read_judging_options(options, options["sensitivity"] or SENSITIVITY),
                    cache=options["cache"],
                )
        except DataError as error:
            raise CommandError(str(error)) from error
