"""What a version says of itself to people: model card, evaluation, curves. Needs the standard library alone, and no artifact
is opened further than the few files that are shown.
"""

import csv
import json
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from mlmodel.artifact import METADATA, hash_file, read_info, read_metadata
from mlmodel.history import EvaluationRun, registered_evaluations
from mlmodel.registry import Location, locate_version
from mlmodel.types import ArtifactCorruptError, ArtifactMissingError, ModelInfo

CARD, EVALUATION, PREDICTIONS = "card.md", "evaluation.json", "predictions.csv"
FIGURES = ("roc.png", "precision_recall.png", "reliability.png", "confusion.png", "training.png")
MAX_BYTES = 4 * 1024 * 1024  # of one document


@dataclass(frozen=True, slots=True)
class ModelDocuments:
    """`card` is Markdown, empty where the version has none; `report` is the evaluation's JSON; `figures` are the names that
    `read_figure` answers. `runs` are the evaluations that this installation registered, newest first."""

    info: ModelInfo
    metadata: dict[str, Any]
    card: str
    report: dict[str, Any]
    figures: tuple[str, ...]
    runs: list[EvaluationRun] = field(default_factory=list)


def read_documents(version: str | None = None) -> ModelDocuments:
    """The documents of `version`, or of the active one: from the artifact, or where it holds no evaluation from the newest
    registered one.

    Raises `ArtifactMissingError`, `ArtifactCorruptError` or `ArtifactIncompatibleError`.
    """
    location = locate_version(version)
    metadata = _checked_metadata(location)
    info = read_info(location.path)
    runs = registered_evaluations(info.version)
    if EVALUATION in metadata["files"] or not runs:
        card = _read_text(location.path, metadata, CARD)
        report = _parse(_read_text(location.path, metadata, EVALUATION), location.path / EVALUATION)
        figures = tuple(name for name in FIGURES if name in metadata["files"])
        return ModelDocuments(info, metadata, card, report, figures, runs)
    newest = runs[0].directory
    card = _read_unlisted(newest / CARD).decode("utf-8", "replace")
    figures = tuple(name for name in FIGURES if name in metadata["files"] or _is_plain_file(newest / name))
    return ModelDocuments(info, metadata, card, runs[0].report, figures, runs)


def read_figure(version: str, name: str) -> bytes:
    """A curve as PNG. Raises as `read_documents` does; `ArtifactMissingError` also for a name that is no figure of the
    version."""
    if name not in FIGURES:
        raise ArtifactMissingError(f"There is no figure {name!r}.")
    location = locate_version(version)
    metadata = _checked_metadata(location)
    if name in metadata["files"]:
        return _read_listed(location.path, metadata, name)
    runs = registered_evaluations(version) if EVALUATION not in metadata["files"] else []
    content = _read_unlisted(runs[0].directory / name) if runs else b""
    if not content:
        raise ArtifactMissingError(f"Version {version} has no {name}.")
    return content


def reference_scores(version: str) -> tuple[float, ...]:
    """The probabilities that the version gave the films of its own evaluation, or where the artifact holds none of its newest
    registered one; films that it refused have none. Raises as `read_documents` does."""
    location = locate_version(version)
    metadata = _checked_metadata(location)
    text = _read_text(location.path, metadata, PREDICTIONS)
    if not text and (runs := registered_evaluations(version)):
        text = _read_unlisted(runs[0].directory / PREDICTIONS).decode("utf-8", "replace")
    try:
        return tuple(float(row["probability"]) for row in csv.DictReader(text.splitlines()) if row["probability"])
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactCorruptError(f"{PREDICTIONS} of {version} is not one of ours.") from error


def _checked_metadata(location: Location) -> dict[str, Any]:
    metadata = read_metadata(location.path)
    if location.sha256 and hash_file(location.path / METADATA) != location.sha256:
        raise ArtifactCorruptError(f"{location.path / METADATA} is not the file that was registered.")
    return metadata


def _read_text(directory: Path, metadata: dict[str, Any], name: str) -> str:
    return _read_listed(directory, metadata, name).decode("utf-8", "replace") if name in metadata["files"] else ""


def _read_listed(directory: Path, metadata: dict[str, Any], name: str) -> bytes:
    """A file that the metadata name, with the hash that they name."""
    path = directory / name
    content = _read_up_to_limit(path)
    if sha256(content).hexdigest() != metadata["files"][name]:
        raise ArtifactCorruptError(f"{path} has another SHA-256 than the metadata say.")
    return content


def _read_unlisted(path: Path) -> bytes:
    """A file of a registered evaluation, which this installation wrote itself; empty where it is not there."""
    return _read_up_to_limit(path) if _is_plain_file(path) else b""


def _read_up_to_limit(path: Path) -> bytes:
    """What is larger than any document is cut, and so has another hash."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES)
    except OSError as error:
        raise ArtifactCorruptError(f"{path} cannot be read.") from error


def _is_plain_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        report = json.loads(text) if text else {}
    except ValueError as error:
        raise ArtifactCorruptError(f"{path} is no JSON.") from error
    return report if isinstance(report, dict) else {}
