"""Compare ways to train a network."""

from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

if TYPE_CHECKING:
    from mlmodel.training.progress import Progress

STOPPED = 3  # exit code


class Command(BaseCommand):
    help = (
        "Train each trial of a JSON file, {name: {what differs from --config}}, on folds of the films by patient, and judge it "
        "on the films that it did not see: as they are, with the outlines of the classes changed, and strongly varied. A line "
        "of JSON is added to --out after every network, and what is there already, by the same recipe, weights and films, is "
        "not done again. No network is kept: train_model makes versions."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("trials", type=Path, metavar="TRIALS", help="JSON file, such as mlmodel/training/trials.json")
        parser.add_argument("--data", type=Path, required=True, help="folder with NORMAL and PNEUMONIA, or manifest CSV")
        parser.add_argument("--out", type=Path, required=True, metavar="JSONL", help="results, a line for each network")
        parser.add_argument("--config", default="default", help="what the trials differ from (default: default)")
        parser.add_argument("--weights", default="none", help="what they start from, as train_model's (default: none)")
        parser.add_argument("--full-size", type=Path, metavar="DIR", help="originals of some of the films, by their names")
        parser.add_argument("--split", type=Path, metavar="CSV", help="of a version, whose test part is left out")
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
        from mlmodel.training.trial_results import draw_table

        try:
            with Progress(quiet=options["quiet"]) as progress:
                results = self._run_trials(options, progress)
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

    def _run_trials(self, options: dict[str, Any], progress: "Progress") -> list[dict[str, Any]]:
        """Results of every trial and fold that was asked for, those of earlier calls among them."""
        from mlmodel.pretrained import find_weights
        from mlmodel.training.recipe import read_recipe
        from mlmodel.training.trial_results import add_result, is_of, read_results
        from mlmodel.training.trials import Comparison, Protocol, choose_trials, read_trials

        protocol = Protocol(folds=options["folds"], one_in=options["one_in"])
        numbers = sorted(set(options["use"] or range(protocol.folds)))
        if not set(numbers) <= set(range(protocol.folds)):
            raise ValueError(f"The folds are 0 to {protocol.folds - 1}. Received: {options['use']}")
        given = read_trials(options["trials"], read_recipe(options["config"]), options["weights"])
        trials = choose_trials(given, options["only"])
        known = read_results(options["out"])
        sources = {name: options[name] for name in ("full_size", "split", "cache")}
        comparison = Comparison(options["data"], protocol, progress, **sources)
        options["out"].touch()  # before hours of work: can it be written?
        results = []
        for trial in trials:
            pretrained = find_weights(trial.weights, settings.IMAGENET_WEIGHTS, trial.recipe.network)
            for number in numbers:
                plan = comparison.describe(trial, number, pretrained)
                found = next((result for result in known if is_of(result, plan)), None)
                if found is None:
                    progress.say(f"{trial.name}, fold {number}")
                    found = comparison.run(trial, number, pretrained)
                    add_result(options["out"], found)
                results.append(found)
        return results
