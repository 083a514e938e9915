"""How a candidate is to be judged: what the commands that make one have in common."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, OutputWrapper

from mlmodel.api import ModelError

if TYPE_CHECKING:
    from mlmodel.training.judging import JudgingOptions


def add_judging_arguments(parser: ArgumentParser) -> None:
    """Operating point, prevalence, split, origin of the films, and what the gate learns from."""
    parser.add_argument("--sensitivity", type=float, help="that the operating point is chosen for")
    parser.add_argument(
        "--operating-point",
        choices=["sensitivity", "cost", "youden", "accuracy"],
        default="sensitivity",
        help="rule of the threshold (default: sensitivity)",
    )
    parser.add_argument("--cost-ratio", type=float, help="for cost: of a missed pneumonia, in false alarms (default: 1)")
    parser.add_argument(
        "--prevalence", type=float, help="share of pneumonia where the version will work (default: as in the films)"
    )
    parser.add_argument("--split", type=Path, metavar="CSV", help="split.csv of an earlier version, whose parts are kept")
    parser.add_argument("--source", default="", help="where films and labels come from, where the manifest does not say")
    parser.add_argument("--licence", default="", help="of the films, where the manifest does not say")
    parser.add_argument(
        "--outliers", type=Path, metavar="DIR", help="films that are not to be read, such as adults', for the gate to know"
    )
    parser.add_argument(
        "--test-objects", type=Path, metavar="DIR", help="drawn films that the gate is to let pass, such as the demo's"
    )


def read_judging_options(options: dict[str, Any], sensitivity: float) -> "JudgingOptions":
    """What the arguments say. Raises `ValueError` for what cannot be."""
    from mlmodel.training.judging import JudgingOptions

    rule = {"rule": options["operating_point"], "sensitivity": sensitivity}
    if options["cost_ratio"] is not None:
        if options["operating_point"] != "cost":
            raise ValueError("--cost-ratio belongs to --operating-point cost.")
        rule["cost_ratio"] = options["cost_ratio"]
    origin = {"source": options["source"], "licence": options["licence"]}
    return JudgingOptions(options["split"], rule, options["prevalence"], origin, options["outliers"], options["test_objects"])


def check_register(options: dict[str, Any]) -> None:
    """Whether the candidate could be registered now, where that was asked for. Raises `CommandError`."""
    from django.db import DatabaseError

    from mlmodel.models import ModelVersion

    if not options["register"]:
        return
    version = options["out"].name
    try:
        taken = ModelVersion.objects.filter(version=version).exists()
    except (DatabaseError, ImproperlyConfigured) as error:
        raise CommandError("--register needs the portal's database, with its tables: run migrate first.") from error
    if taken:
        raise CommandError(f"Version {version} is registered already: give the folder another name.")


def report_candidate(stdout: OutputWrapper, options: dict[str, Any], metrics: dict[str, Any]) -> None:
    """Register the candidate `options["out"]` where that was asked for, and say how good it is."""
    if options["register"]:
        from django.db import DatabaseError

        from mlmodel.registry import register_version

        try:
            register_version(options["out"])
        except (DatabaseError, ModelError) as error:
            raise CommandError(f"{options['out']} is written, and could not be registered: {error}") from error
    if options["json"]:
        stdout.write(json.dumps({"version": options["out"].name, "metrics": metrics}))
        return
    for line in describe_metrics(metrics):
        stdout.write(line)
    stdout.write(f"Written to {options['out']}")


def describe_metrics(metrics: dict[str, Any]) -> list[str]:
    """A line per part of the data, for people."""
    lines = []
    for part, values in metrics.items():
        named = {
            name: "not known" if measure["value"] is None else f"{measure['value']:.4f}"
            for name, measure in values.items()
            if isinstance(measure, dict)
        }
        lines.append(
            f"{part}: {values['n']} of {values['films']} films read, of {values['patients']} patients: AUC {named['auc']}, at "
            f"threshold {values['threshold']:.3f} sensitivity {named['sensitivity']}, specificity {named['specificity']}, "
            f"accuracy {named['accuracy']}"
        )
    return lines
