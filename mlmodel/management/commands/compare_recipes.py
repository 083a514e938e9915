"""Compare ways to train a network."""

from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

if TYPE_CHECKING:
    from mlmodel.training.progress import Progress
    from mlmodel.training.trials import Protocol

STOPPED = 3  # exit code


class Command(BaseCommand):
    help = (
        "Train each trial of a JSON file, {name: {what differs from --config}}, on folds of the films by patient, and judge it "
        "on the films that it did not see: as they are, with the outlines of the classes changed, and strongly varied. A line "
        "of JSON is added to --out after every network, and what is there already is not done again. No network is kept: "
        "train_model makes versions."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("trials", type=Path, metavar="TRIALS", help="JSON file, such as mlmodel/configs/trials.json")
        parser.add_argument("--data", type=Path, required=True, help="folder with NORMAL and PNEUMONIA, or manifest CSV")
        parser.add_argument("--out", type=Path, required=True, metavar="JSONL", help="results, a line for each network")
        parser.add_argument("--config", default="default", help="what the trials differ from (default: default)")
        parser.add_argument("--weights", default="none", help="what they start from, as train_model's (default: none)")
        parser.add_argument("--full-size", type=Path, metavar="DIR", help="originals of some of the films, by their names")
        parser.add_argument("--folds", type=int, default=5, help="(default: 5)")
        parser.add_argument("--use", type=int, nargs="+", metavar="FOLD", help="judge on these folds alone, from 0")
        parser.add_argument("--one-in", type=int, default=1, metavar="N", help="train with one patient in N, for speed")
        parser.add_argument("--only", nargs="+", metavar="NAME", help="these trials alone")
        parser.add_argument("--cache", type=Path, metavar="DIR", help="keep decoded films here")
        parser.add_argument("--quiet", action="store_true", help="no progress bar")

    def handle(self, *args: Any, **options: Any) -> None:
        from mlmodel.training.backend import BackendError, load_backend

        try:
            load_backend()
            self._compare(options)
        except BackendError as error:
            raise CommandError(str(error)) from error

    def _compare(self, options: dict[str, Any]) -> None:
        from mlmodel.training.dataset import DataError
        from mlmodel.training.progress import Progress
        from mlmodel.training.trainer import StoppedError
        from mlmodel.training.trials import Protocol, draw_table, read_results

        try:
            protocol = Protocol(folds=options["folds"], one_in=options["one_in"])
            with Progress(quiet=options["quiet"]) as progress:
                self._run_trials(protocol, options, progress)
            results = read_results(options["out"], protocol)
        except (DataError, ValueError) as error:
            raise CommandError(str(error)) from error
        except StoppedError as error:
            raise CommandError("Stopped; the same command goes on.", returncode=STOPPED) from error
        except MemoryError as error:
            raise CommandError("There is not enough memory for these films at this size.") from error
        except OSError as error:
            raise CommandError(f"The results could not be written: {error}.") from error
        for line in draw_table(results):
            self.stdout.write(line)

    def _run_trials(self, protocol: "Protocol", options: dict[str, Any], progress: "Progress") -> None:
        from mlmodel.training.recipe import read_recipe
        from mlmodel.training.trials import Comparison, add_result, choose_trials, read_results, read_trials

        given = read_trials(options["trials"], read_recipe(options["config"]), options["weights"])
        trials = choose_trials(given, options["only"])
        numbers = options["use"] or range(protocol.folds)
        if not set(numbers) <= set(range(protocol.folds)):
            raise ValueError(f"The folds are 0 to {protocol.folds - 1}. Received: {options['use']}")
        done = {(result["trial"], result["fold"]) for result in read_results(options["out"], protocol)}
        comparison = Comparison(options["data"], protocol, progress, full_size=options["full_size"], cache=options["cache"])
        for trial in trials:
            for number in numbers:
                if (trial.name, number) not in done:
                    progress.say(f"{trial.name}, fold {number}")
                    add_result(options["out"], comparison.run(trial, number, settings.IMAGENET_WEIGHTS))
