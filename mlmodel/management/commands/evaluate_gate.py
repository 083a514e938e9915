"""Judge the gate: what it refuses, what the published methods would, and what it does with a kind that it was never shown."""

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from mlmodel.types import ModelError

if TYPE_CHECKING:
    from mlmodel.gate.measuring import Read, Samples
    from mlmodel.training.progress import Progress

WIDTH = 160  # where nobody looks, lines are not wrapped to a terminal
BATCH_SIZE = 16
SPLIT = "split.csv"


class Command(BaseCommand):
    help = (
        "Fit the gate of a version anew on its own training part, choose limits on its part calibrate and judge it on its part "
        "test and on what else is named, beside the published methods on the same features. Outliers are parted by patient: "
        "half of them the gate is shown. Every kind of picture is also judged by a gate that was not shown it. These are the "
        "tables of docs/gate.md. Changes nothing."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", type=Path, required=True, help="the films that the version was trained on")
        parser.add_argument(
            "--version", dest="model_version", help="version to judge (default: the active one, else the shipped one)"
        )
        parser.add_argument("--full-size", type=Path, metavar="DIR", help="films that are to be read, such as full-size ones")
        parser.add_argument(
            "--outliers", type=Path, metavar="DIR", help="films not to be read; the patient is the name up to the first _"
        )
        parser.add_argument("--pictures", type=Path, metavar="DIR", help="pictures that are no chest films")
        parser.add_argument("--test-objects", type=Path, metavar="DIR", help="drawn films that the gate is to let pass")
        parser.add_argument("--films", type=int, default=1500, metavar="N", help="training films to fit on (default: 1500)")
        parser.add_argument("--per-kind", type=int, default=70, metavar="N", help="pictures of each kind to judge on")
        parser.add_argument("--seed", type=int, default=0, help="of what is drawn by lot (default: 0)")
        parser.add_argument("--quiet", action="store_true", help="no progress bar")
        parser.add_argument("--json", action="store_true", help="print everything as one JSON object")

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        # Django's own --version would take the name
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def handle(self, *args: Any, **options: Any) -> None:
        from mlmodel.training.backend import BackendError, load_backend

        if min(options["films"], options["per_kind"]) < 1:
            raise CommandError("--films and --per-kind are at least 1.")
        try:
            load_backend()
            measured = self._measure(options)
        except (BackendError, ModelError, ValueError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(measured, allow_nan=False))
            return
        console = Console(file=cast("IO[str]", self.stdout), width=None if self.stdout.isatty() else WIDTH)
        for title in ("groups", "shown", "left_out"):
            console.print(_counts(title, measured[title]))
        console.print(_methods(measured["methods"]))

    def _measure(self, options: dict[str, Any]) -> dict[str, Any]:
        from mlmodel.artifact import verify_artifact
        from mlmodel.gate.measuring import measure_gate
        from mlmodel.registry import locate_version
        from mlmodel.training.dataset import DataError
        from mlmodel.training.progress import Progress

        location = locate_version(options["model_version"])
        metadata = verify_artifact(location.path, location.sha256)
        try:
            with Progress(quiet=options["quiet"]) as progress:
                samples = _gather(options, location.path, metadata["input_shape"][0], progress)
                read = _reader(location.path, metadata, progress)
                measured = measure_gate(read, samples, per_kind=options["per_kind"], seed=options["seed"])
        except DataError as error:
            raise CommandError(str(error)) from error
        return {"model_version": metadata["version"], **measured}


def _gather(options: dict[str, Any], artifact: Path, size: int, progress: "Progress") -> "Samples":
    from mlmodel.gate.folders import list_folder, read_folder
    from mlmodel.gate.measuring import Samples
    from mlmodel.training.prepared import prepare_part

    manifest, data = artifact / SPLIT, options["data"]
    train = prepare_part(manifest, data, "train", size, progress, most=options["films"])
    calibrate, test = (prepare_part(manifest, data, part, size, progress).array for part in ("calibrate", "test"))
    return Samples(
        train=train.array[..., 0],
        truth=train.truth,
        calibrate=calibrate[..., 0],
        test=test[..., 0],
        full_size=read_folder(options["full_size"], size),
        outliers=read_folder(options["outliers"], size),
        patients=[path.stem.partition("_")[0] for path in list_folder(options["outliers"])] if options["outliers"] else [],
        pictures=read_folder(options["pictures"], size),
        test_objects=read_folder(options["test_objects"], size),
    )


def _reader(artifact: Path, metadata: dict[str, Any], progress: "Progress") -> "Read":
    """The engine that serves, a batch at a time."""
    import numpy as np

    from mlmodel.engines import Outputs, load_engine

    engine = load_engine(artifact, metadata)

    def read(films: Any) -> Outputs:
        starts = range(0, len(films), BATCH_SIZE)
        batches = [engine.run(films[at : at + BATCH_SIZE]) for at in progress.track(starts, "Reading films", total=len(starts))]
        features = [batch.features for batch in batches if batch.features is not None]
        return Outputs(
            np.concatenate([batch.logits for batch in batches]),
            np.concatenate([batch.activations for batch in batches]),
            np.concatenate(features) if features else None,
        )

    return read


def _counts(title: str, counted: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(title=title.replace("_", " ").capitalize())
    for column in ("Films", "Number", "Refused", "Refused or marked", "By the rules on pixels", "Codes"):
        table.add_column(column, justify="left" if column in {"Films", "Codes"} else "right")
    for name, found in counted.items():
        shares = [f"{found[key]:.1%}" for key in ("refused", "refused_or_marked", "refused_by_rules")]
        codes = ", ".join(f"{code} {count}" for code, count in found["codes"].items())
        table.add_row(name, str(found["films"]), *shares, codes)
    return table


def _methods(compared: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    """A row for each method: AUROC, and the shares above its limit."""
    table = Table(title="Methods, at the limit that 1 % of the calibration films pass")
    table.add_column("Method")
    first = next(iter(compared.values()))
    for group in first["auroc"]:
        table.add_column(f"AUROC, {group}", justify="right")
    for group in first["refused"]:
        table.add_column(group, justify="right")
    for name, found in compared.items():
        areas = [f"{value:.3f}" for value in found["auroc"].values()]
        table.add_row(name, *areas, *(f"{value:.1%}" for value in found["refused"].values()))
    return table
