"""Judge a version on labelled films that it has not seen."""

import csv
import json
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from django.core.management.base import BaseCommand, CommandError

from mlmodel.api import ModelError, load

if TYPE_CHECKING:
    from mlmodel.evaluation.readings import Reading

SHOWN = (
    ("auc", "AUC"),
    ("sensitivity", "Sensitivity"),
    ("specificity", "Specificity"),
    ("accuracy", "Accuracy"),
    ("precision", "Positive predictive value"),
    ("npv", "Negative predictive value"),
    ("f1", "F1"),
    ("average_precision", "Average precision"),
    ("ece", "Calibration error (ECE)"),
    ("brier", "Brier score"),
    ("nll", "Negative log-likelihood"),
    ("calibration_slope", "Calibration slope"),
    ("calibration_intercept", "Calibration intercept"),
)


class Command(BaseCommand):
    help = (
        "Run a version over DATA/{NORMAL,PNEUMONIA}/, or over a manifest CSV (file, label, patient; optionally sex, age_years, "
        "device and cause), as predict does, and report every measure with a 95 % bootstrap interval over patients. Films that "
        "the model declines have no probability: they are counted, left out of the measures, and wrong in intention_to_read. "
        "Without --out the evaluation of a registered version is kept under MODEL_DIR/evaluations and entered in the registry."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", type=Path, required=True, help="folder with NORMAL and PNEUMONIA, or manifest CSV")
        parser.add_argument(
            "--version", dest="model_version", help="version to judge (default: the active one, else the shipped one)"
        )
        parser.add_argument("--compare", metavar="VERSION", help="a second version, compared on the same films")
        parser.add_argument("--out", type=Path, metavar="DIR", help="write report, predictions, card and curves to this folder")
        parser.add_argument("--bootstrap", type=int, default=2000, metavar="N", help="resamples (default: 2000)")
        parser.add_argument("--seed", type=int, default=0, help="of the resamples (default: 0)")
        parser.add_argument("--quiet", action="store_true", help="no progress bar")
        parser.add_argument("--json", action="store_true", help="print the report as one JSON object")

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        # Django's own --version would take the name
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def handle(self, *args: Any, **options: Any) -> None:
        from mlmodel.registry import locate_version
        from mlmodel.training.dataset import DataError, find_films

        if options["bootstrap"] < 1:
            raise CommandError(f"--bootstrap is at least 1. Received: {options['bootstrap']}")
        try:
            # Before a version is loaded, which takes longer than a wrong path or name deserves
            find_films(options["data"])
            for version in filter(None, (options["model_version"], options["compare"])):
                locate_version(version)
            report = self._evaluate(options)
        except (DataError, ModelError, ValueError) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"The evaluation could not be written: {error}") from error
        if options["json"]:
            self.stdout.write(json.dumps(report, allow_nan=False))
        else:
            self._print_table(report)

    def _evaluate(self, options: dict[str, Any]) -> dict[str, Any]:
        from mlmodel.evaluation.compare import compare_readings
        from mlmodel.evaluation.report import build_report

        readings, report_of = self._read(options["model_version"], options)
        drawn = {"resamples": options["bootstrap"], "seed": options["seed"]}
        report = build_report(readings, version=report_of["version"], threshold=report_of["threshold"], **drawn)
        report |= {"model_sha256": report_of["sha256"], **_count_overlap(readings, report_of["path"])}
        if options["compare"]:
            others, other = self._read(options["compare"], options)
            report["comparison"] = {"version": other["version"], **compare_readings(readings, others, **drawn).as_dict()}
        self._warn(report)
        self._store(readings, report, report_of["path"], options["out"])
        return report

    def _read(self, version: str | None, options: dict[str, Any]) -> tuple[list["Reading"], dict[str, Any]]:
        from mlmodel.evaluation.reading import read_films
        from mlmodel.registry import locate_version
        from mlmodel.training.progress import Progress

        path = locate_version(version).path
        predictor = load(version)
        try:
            with Progress(quiet=options["quiet"]) as progress:
                readings = read_films(predictor, options["data"], progress)
        finally:
            predictor.close()
        info = predictor.info
        return readings, {"version": info.version, "threshold": info.threshold, "sha256": info.sha256, "path": path}

    def _store(self, readings: list["Reading"], report: dict[str, Any], artifact: Path, out: Path | None) -> None:
        from mlmodel.artifact import read_metadata
        from mlmodel.evaluation.store import enter_evaluation, find_row, render_files, write_files
        from mlmodel.registry import model_dir

        row, kept = (None, None) if out else (find_row(report["model_version"]), model_dir())
        if out is None and (row is None or kept is None):
            return
        directory = out or cast("Path", kept) / "evaluations" / report["model_version"] / report["data_sha256"][:12]
        write_files(directory, render_files(readings, report, read_metadata(artifact)))
        if row is not None:
            enter_evaluation(row, report, directory)
        self.stderr.write(f"Written to {directory}")

    def _warn(self, report: dict[str, Any]) -> None:
        seen = sum(count for part, count in report["training_overlap"].items() if part != "test")
        if seen:
            self.stderr.write(f"Warning: {seen} of {report['films']} films were used to make this version.")
        if named := report["training_patients"]:
            self.stderr.write(
                f"Warning: {named} other films are of patients named as some that were used to make this version."
            )
        if report["unreadable"]["count"]:
            named = ", ".join(report["unreadable"]["files"][:3])
            self.stderr.write(f"Warning: {report['unreadable']['count']} files hold no film that can be read: {named}")

    def _print_table(self, report: dict[str, Any]) -> None:
        self.stdout.write(
            f"Version {report['model_version']} on {report['n']} films of {report['patients']} patients "
            f"({report['refused']} refused, {report['errors']} not opened), threshold {report['threshold']:.3f}"
        )
        for key, name in SHOWN:
            self.stdout.write(f"  {name:26} {_state(report[key])}")
        (tn, fp), (fn, tp) = report["confusion"]
        self.stdout.write(f"  {'Confusion':26} {tp} found, {fn} missed; {tn} rightly negative, {fp} false alarms")
        for name, group in report["subgroups"].items():
            self.stdout.write(f"  {name}: {group['n']} films, AUC {_state(group['auc'])}")
        if comparison := report.get("comparison"):
            verdict = "not worse" if comparison["non_inferior"] else f"may be worse: {'; '.join(comparison['worse'])}"
            self.stdout.write(f"  Against {comparison['version']}: AUC difference {_state(comparison['auc'])}; {verdict}")


def _count_overlap(readings: list["Reading"], artifact: Path) -> dict[str, Any]:
    """`training_overlap`: films by the part of the version's own split that they were in, empty where it keeps no split;
    `training_patients`: of the others, those whose patient has the name of one outside its test part."""
    try:
        with (artifact / "split.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        parts = {row["sha256"]: row["part"] for row in rows}
        patients = {row["patient"] for row in rows if row["part"] != "test"}
    except (OSError, KeyError, csv.Error, UnicodeDecodeError):
        return {"training_overlap": {}, "training_patients": 0}
    found = [parts[one.sha256] for one in readings if one.sha256 in parts]
    others = sum(one.sha256 not in parts and one.patient in patients for one in readings)
    return {"training_overlap": {part: found.count(part) for part in sorted(set(found))}, "training_patients": others}


def _state(measure: dict[str, float | None]) -> str:
    value, low, high = measure["value"], measure["low"], measure["high"]
    if value is None:
        return "not known"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f} to {high:.3f})"
