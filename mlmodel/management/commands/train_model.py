"""Train a candidate version from labelled films."""

from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from mlmodel.management.judging import add_judging_arguments, check_register, read_judging_options, report_candidate

if TYPE_CHECKING:
    from mlmodel.training.options import RunOptions

STOPPED = 3  # exit code
OVERRIDES = ("epochs", "batch_size", "learning_rate", "seed", "precision", "sensitivity")


class Command(BaseCommand):
    help = (
        "Train a network on DATA/{NORMAL,PNEUMONIA}/, or on a manifest CSV with the columns file, label and patient, and write "
        "a candidate artifact. The split is by patient, with near-duplicates together: 74 % train, 8 % choose the "
        "epoch, 9 % calibrate and choose the threshold, 9 % judge. SIGTERM or Ctrl-C saves and stops with exit code 3; "
        "--resume goes on, also after a crash. The environment's KERAS_BACKEND is tensorflow (the default), jax or torch."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", type=Path, required=True, help="folder with NORMAL and PNEUMONIA, or manifest CSV")
        parser.add_argument("--out", type=Path, required=True, help="artifact to write; its name is the version")
        parser.add_argument("--config", default="default", help="default, reference, or a JSON file (default: default)")
        parser.add_argument(
            "--weights",
            default="none",
            help="what to start from: none; imagenet (the file IMAGENET_WEIGHTS, or a download for bottleneck blocks); an NPZ "
            "file of ResNet weights by torchvision's names; or the directory of an earlier version (default: none)",
        )
        parser.add_argument("--epochs", type=int)
        parser.add_argument("--batch-size", type=int)
        parser.add_argument("--learning-rate", type=float, help="the schedule's peak")
        parser.add_argument("--seed", type=int)
        parser.add_argument("--precision", choices=["float32", "mixed_bfloat16", "mixed_float16"])
        add_judging_arguments(parser)
        parser.add_argument("--resume", action="store_true", help="go on from the checkpoint that a stopped run left")
        parser.add_argument("--checkpoint-every", type=float, default=60.0, metavar="SECONDS", help="(default: 60)")
        parser.add_argument(
            "--cache", type=Path, metavar="DIR", help="keep decoded films here, for the next run to start at once"
        )
        parser.add_argument(
            "--devices", default="auto", help="how many to share each batch among; auto: every GPU (default: auto)"
        )
        parser.add_argument("--register", action="store_true", help="enter the version in the registry as a candidate")
        parser.add_argument("--quiet", action="store_true", help="no progress bar")
        parser.add_argument("--json", action="store_true", help="print the metrics as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        from mlmodel.training.backend import BackendError, load_backend

        try:
            check_register(options)
            load_backend()
            metrics = self._train(options)
        except BackendError as error:
            raise CommandError(str(error)) from error
        report_candidate(self.stdout, options, metrics)

    def _train(self, options: dict[str, Any]) -> dict[str, Any]:
        from mlmodel.training.dataset import DataError
        from mlmodel.training.pipeline import train_candidate
        from mlmodel.training.progress import Progress
        from mlmodel.training.recipe import read_recipe
        from mlmodel.training.trainer import StoppedError

        given = {name: options[name] for name in OVERRIDES if options[name] is not None}
        try:
            recipe, run = replace(read_recipe(options["config"]), **given), self._run_options(options)
            judging = read_judging_options(options, recipe.sensitivity)
            with Progress(quiet=options["quiet"]) as progress:
                return train_candidate(
                    data=options["data"], out=options["out"], recipe=recipe, options=run, progress=progress, judging=judging
                )
        except (DataError, ValueError) as error:
            raise CommandError(str(error)) from error
        except StoppedError as error:
            raise CommandError("Stopped and saved; --resume goes on.", returncode=STOPPED) from error
        except MemoryError as error:
            raise CommandError("There is not enough memory for these films at this size.") from error
        except OSError as error:
            raise CommandError(f"The artifact could not be written: {error}. --resume tries again.") from error

    def _run_options(self, options: dict[str, Any]) -> "RunOptions":
        from mlmodel.training.options import RunOptions

        return RunOptions(
            weights=options["weights"],
            imagenet_file=settings.IMAGENET_WEIGHTS,
            resume=options["resume"],
            cache=options["cache"],
            devices=options["devices"],
            checkpoint_seconds=options["checkpoint_every"],
        )
