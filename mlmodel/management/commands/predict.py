"""Read films from the command line: the model without portal, database or Redis."""

import json
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mlmodel.api import Finding, ModelError, Outcome, load
from mlmodel.codes import describe_flag

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".dcm"})
BATCH_SIZE = 8
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
        rows = []
        batches = [files[start : start + BATCH_SIZE] for start in range(0, len(files), BATCH_SIZE)]
        quiet = options["json"] or len(batches) < 2
        for batch in track(batches, "Reading films", console=Console(stderr=True), disable=quiet):
            for row in _read_batch(predictor, batch, options["heatmap"]):
                rows.append(row)
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


def _read_batch(predictor: Any, files: Sequence[Path], heatmaps: Path | None) -> list[dict[str, Any]]:
    """One row per file, in order; files that cannot be opened are errors, the others are read together."""
    started = time.perf_counter()
    contents = {path: _read_file(path) for path in files}
    readable = [path for path, content in contents.items() if isinstance(content, bytes)]
    outcomes = dict(zip(readable, predictor.predict([contents[path] for path in readable], display=False), strict=True))
    share = (time.perf_counter() - started) * 1000 / len(files)
    rows = []
    for path in files:
        outcome = outcomes.get(path)
        if heatmaps and isinstance(outcome, Finding):
            _write_heatmap(heatmaps / f"{path.name}.heatmap.png", outcome.heatmap_png)
        rows.append(_describe(path, outcome, predictor.info.version, share))
    return rows


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


def _read_file(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


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
