"""From signed reviews to a candidate version: export, train, evaluate, register. Nothing here touches the version in service.

A run's plan is kept until the run is over, and each of its steps leaves its outcome whole or not at all: a run that was killed
is gone on with by the next one.
"""

import csv
import fcntl
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from diagnostics.exceptions import DiagnosticsError
from diagnostics.models import Review
from diagnostics.services.training_set import find_reviews
from mlmodel import api

HOME, PLAN, LAST, LOCK, WORK = ".retraining", "plan.json", "last.json", "lock", "work"
EXPORT, BASE, MANIFEST, TEST, CONFIG = "export", "base", "manifest.csv", "test.csv", "config.json"
COLUMNS = ("file", "label", "patient", "source", "licence", "sex", "age_years", "device")
FOR_GATE = ("outliers", "test_objects")
FOLDERS = ("base_data", *FOR_GATE)  # that an operator may name: what to train on besides, and what the gate is shown
# The new films are few beside those that the version in service learnt from: small steps, so that it forgets nothing
LEARNING_RATE_SHARE = 0.1


class RetrainingError(DiagnosticsError):
    """The run cannot go on. The text is one line for the operator."""


class BusyError(DiagnosticsError):
    """Another run is at work."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run sets out to do, fixed when it begins. `signed_until` is ISO 8601; folders are empty where none was named."""

    version: str
    started_from: str
    signed_until: str
    new_films: int
    base_data: str
    outliers: str = ""
    test_objects: str = ""


@dataclass(frozen=True, slots=True)
class Workplace:
    """The folders of retraining below `out`, where the versions are kept."""

    out: Path

    @property
    def home(self) -> Path:
        return self.out / HOME

    @property
    def work(self) -> Path:
        return self.home / WORK

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One run at a time; the kernel lets go when the process ends, however it ends. Raises `BusyError`."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BusyError("Another run is at work.") from error
            yield

    def read_plan(self) -> Plan | None:
        """The plan of a run that was not finished."""
        stored = _read_json(self.home / PLAN)
        return Plan(**stored) if stored else None

    def begin(self, plan: Plan) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        _write_json(self.home / PLAN, asdict(plan))

    def finish(self, plan: Plan) -> None:
        """Keep up to where reviews were learnt from, and none of the films."""
        _write_json(self.home / LAST, {"version": plan.version, "signed_until": plan.signed_until})
        self.abandon(plan)

    def abandon(self, plan: Plan) -> None:
        """Drop the plan, its films, and the checkpoint of its training, which would fit no other plan of that name."""
        (self.home / PLAN).unlink(missing_ok=True)
        (self.out / f".{plan.version}-checkpoint.npz").unlink(missing_ok=True)
        shutil.rmtree(self.work, ignore_errors=True)

    def learnt_until(self) -> datetime | None:
        """The signature of the latest review that an earlier run learnt from."""
        return parse_datetime(_read_json(self.home / LAST).get("signed_until", ""))


def count_new_films(place: Workplace) -> int:
    """Films signed since the last run."""
    reviews, until = find_reviews(), place.learnt_until()
    return reviews.filter(signed_at__gt=until).count() if until else reviews.count()


def make_plan(place: Workplace, *, new_films: int, folders: Mapping[str, Path | None]) -> Plan:
    """The plan of a new run, from the version in service or, while none is, the one that was in it last; `folders` by the names
    of `FOLDERS`.

    Raises `RetrainingError` where no name can be derived from that.
    """
    active = api.versions_in_service().latest
    latest = find_reviews().order_by("-signed_at").values_list("signed_at", flat=True)[0]
    return Plan(
        version=next_version(active, _known_versions(place.out), timezone.localdate().strftime("%Y%m%d")),
        started_from=active,
        signed_until=latest.isoformat() if latest else "",
        new_films=new_films,
        **{name: str(path.resolve()) if (path := folders.get(name)) else "" for name in FOLDERS},
    )


def unshown_films(plan: Plan) -> list[str]:
    """Of `FOR_GATE`, those whose like the gate of the version started from was fitted with, and that the plan does not name."""
    fitted = _metadata_of(plan).get("gate", {}).get("fitted_on", {})
    return [name for name in FOR_GATE if fitted.get(name) and not getattr(plan, name)]


def next_version(active: str, known: set[str], day: str) -> str:
    """`1.4.0+20261123` after 1.3.0: the next minor number that no known version has. Raises `RetrainingError`."""
    numbers = re.match(r"(\d+)\.(\d+)", active)
    if not numbers:
        raise RetrainingError(f"The version in service, {active!r}, has no number to count on from.")
    major = numbers[1]
    minors = [int(found[1]) for name in {active, *known} if (found := re.match(rf"{major}\.(\d+)", name))]
    return f"{major}.{max(minors) + 1}.0+{day}"


def reviews_of(plan: Plan) -> list[Review]:
    """The reviews that the run learns from."""
    return list(find_reviews().filter(signed_at__lte=plan.signed_until))


def write_manifest(place: Workplace, plan: Plan) -> Path:
    """One manifest of exported films and base data, all named relative to it. Raises `ModelError`."""
    with (place.work / EXPORT / MANIFEST).open(newline="", encoding="utf-8") as file:
        rows = [{**row, "file": f"{EXPORT}/{row['file']}"} for row in csv.DictReader(file)]
    if plan.base_data:
        base = Path(plan.base_data)
        link = place.work / BASE
        link.unlink(missing_ok=True)
        link.symlink_to(base if base.is_dir() else base.parent)
        known = api.find_labelled_films(base)
        rows += [{"file": f"{BASE}/{name}", "label": label, "patient": patient} for name, label, patient in known]
    return _write_rows(place.work / MANIFEST, rows)


def write_config(place: Workplace, plan: Plan) -> Path:
    """The recipe of the version started from, with smaller steps. Raises `RetrainingError` where it has none."""
    recipe = _metadata_of(plan).get("training", {}).get("recipe")
    if not isinstance(recipe, dict):
        raise RetrainingError(f"Version {plan.started_from} does not say how it was trained: name a --config.")
    changed = {**recipe, "learning_rate": recipe["learning_rate"] * LEARNING_RATE_SHARE}
    _write_json(place.work / CONFIG, changed)
    return place.work / CONFIG


def train(place: Workplace, plan: Plan, *, manifest: Path, config: str, quiet: bool) -> Path:
    """The artifact, from the weights of the version in service and with its split kept; a run that was stopped goes on."""
    artifact, active = place.out / plan.version, api.locate_artifact(plan.started_from)
    if not artifact.exists():
        call_command(
            "train_model",
            f"--data={manifest}",
            f"--out={artifact}",
            f"--config={config}",
            f"--weights={active}",
            f"--split={active / 'split.csv'}",
            *_judging_arguments(plan),
            "--resume",
            "--json",
            *(["--quiet"] if quiet else []),
            stdout=StringIO(),
        )
    api.register_artifact(artifact)
    return artifact


def _judging_arguments(plan: Plan) -> list[str]:
    """How the version started from states probabilities and chose its threshold, and what the gate is shown."""
    metadata = _metadata_of(plan)
    point = metadata.get("operating_point", {})
    stated = {
        "operating-point": point.get("rule"),
        "sensitivity": point.get("target_sensitivity"),
        "cost-ratio": point.get("cost_ratio"),
        "prevalence": metadata.get("calibration", {}).get("prevalence"),
        "outliers": plan.outliers or None,
        "test-objects": plan.test_objects or None,
    }
    return [f"--{name}={value}" for name, value in stated.items() if value is not None]


def evaluate(place: Workplace, plan: Plan, artifact: Path, *, quiet: bool) -> dict[str, Any]:
    """Both versions on the films of the new one's test part, which neither has learnt from; the new one's report."""
    with (artifact / "split.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "test"]
    test = _write_rows(place.work / TEST, rows)
    common = [f"--data={test}", "--json", *(["--quiet"] if quiet else [])]
    call_command("evaluate_model", *common, f"--version={plan.started_from}", stdout=StringIO())
    output = StringIO()
    call_command("evaluate_model", *common, f"--version={plan.version}", f"--compare={plan.started_from}", stdout=output)
    report: dict[str, Any] = json.loads(output.getvalue())
    return report


def _metadata_of(plan: Plan) -> dict[str, Any]:
    """What the version started from says of itself. Raises `ModelError`."""
    return api.read_documents(plan.started_from).metadata


def _known_versions(out: Path) -> set[str]:
    return {row.version for row in api.registered_versions()} | {path.name for path in out.iterdir() if path.is_dir()}


def _write_rows(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def _read_json(path: Path) -> dict[str, Any]:
    """Empty where there is no such file."""
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RetrainingError(f"{path} cannot be read.") from error
    return stored


def _write_json(path: Path, content: dict[str, Any]) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)
