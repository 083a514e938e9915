"""What a version said of each film, and how that is kept: `predictions.csv`."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Literal

COLUMNS = ("file", "sha256", "patient", "label", "probability", "predicted", "outcome", "code")
# Codes of files that hold no film that could be read, as opposed to films that the model declines
UNREADABLE = frozenset({"NOT_OPENED", "UNREADABLE", "EMPTY_FILE", "UNSUPPORTED_FORMAT", "NO_PIXELS", "MALFORMED_DICOM"})


@dataclass(frozen=True, slots=True)
class Reading:
    """One film. `probability` is calibrated, None where there is no finding; then `code` says why. `traits` name the subgroups
    that the film belongs to."""

    file: str
    sha256: str
    patient: str
    label: str
    outcome: Literal["finding", "refusal", "error"]
    code: str = ""
    probability: float | None = None
    predicted: str = ""
    traits: tuple[str, ...] = field(default=())


def findings(readings: Iterable[Reading]) -> list[Reading]:
    """Those with a probability."""
    return [reading for reading in readings if reading.probability is not None]


def hash_data(readings: Iterable[Reading]) -> str:
    """SHA-256 over content, label and patient of every film, whatever the films are called and wherever they lie."""
    lines = sorted(f"{reading.sha256} {reading.label} {reading.patient}\n" for reading in readings)
    return sha256("".join(lines).encode()).hexdigest()


def write_predictions(readings: Iterable[Reading]) -> bytes:
    """One row per film. Probabilities are written so that they come back as they were."""
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in readings:
        said = "" if one.probability is None else repr(float(one.probability))
        writer.writerow([one.file, one.sha256, one.patient, one.label, said, one.predicted, one.outcome, one.code])
    return buffer.getvalue().encode()


def read_predictions(path: Path) -> list[Reading]:
    """The inverse of `write_predictions`, without traits. Raises `ValueError` naming the file where it is something else."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [_read_row(row) for row in csv.DictReader(file)]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(f"{path} holds no predictions that can be read.") from error


def _read_row(row: dict[str, str]) -> Reading:
    said = float(row["probability"]) if row["probability"] else None
    if said is not None and not 0 <= said <= 1:
        raise ValueError(f"Not a probability: {said}")
    known = {name: row[name] for name in ("file", "sha256", "patient", "label", "predicted", "code")}
    kinds: Sequence[Literal["finding", "refusal", "error"]] = ("finding", "refusal", "error")
    return Reading(outcome=kinds[kinds.index(row["outcome"])], probability=said, **known)  # type: ignore[arg-type]
