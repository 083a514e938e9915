"""Read films from the command line: the model without portal, database or Redis."""

import json
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mlmodel.api import Finding, ModelError, Outcome, load
from mlmodel.codes import describe_flag

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".dcm"})
BATCH_SIZE = 16
ON_SCREEN = {"PNEUMONIA": "Pneumonia detected", "NORMAL": "Pneumonia not detected"}


class Command(BaseCommand):
    help = (
        "Read chest X-rays (JPEG, PNG, DICOM) and say whether they show features of pneumonia. A folder stands for the films "
        "in it. Needs neither portal nor database. Investigational: not for diagnosis. Exit code 1 where a file did not open."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="film, or folder of films")
        parser.add_argument("--json", action="store_true", help="one JSON object per line and file")
        parser.add_argument(
            "--version", dest="model_version", help="version to use (default: the active one, else the shipped one)"
        )
        parser.add_argument("--heatmap", type=Path, metavar="DIR", help="write where the model looked, as PNG, to this folder")

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        # Django's own --version would take the name
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def handle(self, *args: Any, **options: Any) -> None:
        files = list(_expand(options["files"]))
        if options["heatmap"]:
            _make_folder(options["heatmap"])
        try:
            predictor = load(options["model_version"])
        except ModelError as error:
            raise CommandError(str(error)) from error
        try:
            rows = self._read_all(predictor, files, options)
        except ModelError as error:
            raise CommandError(str(error)) from error
        finally:
            predictor.close()
        if not options["json"]:
            self._print_table(rows, predictor.info.version)
        if any(row["outcome"] == "error" for row in rows):
            raise SystemExit(1)

    def _read_all(self, predictor: Any, files: list[Path], options: dict[str, Any]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        bar = Progress(console=Console(stderr=True), disable=options["json"] or len(files) <= BATCH_SIZE)
        with bar:
            task = bar.add_task("Reading films", total=len(files))
            for row in _read_files(predictor, files, options["heatmap"]):
                rows.append(row)
                bar.advance(task)
                if options["json"]:
                    self.stdout.write(json.dumps(row))
        return rows

    def _print_table(self, rows: list[dict[str, Any]], version: str) -> None:
        table = Table(title=f"Model {version}. Investigational: not for diagnosis.")
        for column in ("File", "Result", "Probability", "Threshold"):
            table.add_column(column, justify="right" if column in {"Probability", "Threshold"} else "left", overflow="fold")
        for row in rows:
            if row["outcome"] == "finding":
                result = "\n".join([ON_SCREEN[row["label"]], *(f"{code}: {describe_flag(code)}" for code in row["flags"])])
                table.add_row(row["file"], result, f"{row['probability']:.1%}", f"{row['threshold']:.1%}")
            else:
                table.add_row(row["file"], f"{row['code']}: {row['message']}", "", "")
        Console(file=cast("IO[str]", self.stdout), width=None if self.stdout.isatty() else 160).print(table)


def _read_files(predictor: Any, files: Sequence[Path], heatmaps: Path | None) -> Iterator[dict[str, Any]]:
    """One row per file, in order; files that cannot be opened are errors, the others are read together."""
    unopened: set[Path] = set()
    outcomes = predictor.read(_open_files(files, unopened), batch_size=BATCH_SIZE, heatmaps=heatmaps is not None)
    remaining, started = iter(files), time.perf_counter()
    for batch in outcomes:
        finished = time.perf_counter()
        share = (finished - started) * 1000 / len(batch)
        for outcome in batch:
            path = next(remaining)
            if heatmaps and isinstance(outcome, Finding):
                _write_heatmap(heatmaps / f"{path.name}.heatmap.png", outcome.heatmap_png)
            yield _describe(path, None if path in unopened else outcome, predictor.info.version, share)
        started = finished


def _open_files(files: Sequence[Path], unopened: set[Path]) -> Iterator[bytes]:
    """The bytes of each; of one that cannot be opened none, and its path is put into `unopened`."""
    for path in files:
        try:
            yield path.read_bytes()
        except OSError:
            unopened.add(path)
            yield b""


def _describe(path: Path, outcome: Outcome | None, version: str, milliseconds: float) -> dict[str, Any]:
    row = dict.fromkeys(("code", "message", "probability", "label", "threshold"))
    row |= {"heat_in_lung": None, "flags": []}
    row |= {"file": str(path), "model_version": version, "milliseconds": round(milliseconds, 2)}
    if outcome is None:
        return {**row, "outcome": "error", "code": "NOT_OPENED", "message": "The file cannot be opened."}
    if isinstance(outcome, Finding):
        finding: dict[str, Any] = {"probability": outcome.probability, "label": outcome.label, "threshold": outcome.threshold}
        finding |= {"heat_in_lung": outcome.heat_in_lung, "flags": list(outcome.flags)}
        return {**row, "outcome": "finding", **finding}
    return {**row, "outcome": "refusal", "code": outcome.code, "message": outcome.message}


def _expand(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(inner for inner in path.rglob("*") if inner.suffix.lower() in SUFFIXES and inner.is_file())
        else:
            yield path


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{folder} cannot be made: {error.strerror}") from error


def _write_heatmap(path: Path, png: bytes) -> None:
    try:
        path.write_bytes(png)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error
