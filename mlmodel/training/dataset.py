"""Which films there are to train on: found in a folder or a manifest, labelled, with their patients."""

import csv
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlmodel.codes import rejection
from mlmodel.decoding import read_film
from mlmodel.preprocessing import DECODED_SIDES, prepare_film
from mlmodel.training.progress import Progress
from mlmodel.types import RejectedImageError

LABELS = ("NORMAL", "PNEUMONIA")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".dcm"})
MANIFEST_COLUMNS = ("file", "label", "patient")


class DataError(Exception):
    """The data cannot be trained on. The text names the file and is made to be shown."""


@dataclass(frozen=True, slots=True)
class LabelledFilm:
    """`file` is relative to the folder that was named, with forward slashes; `patient` groups films that must not be parted."""

    path: Path
    file: str
    label: str
    patient: str


def find_films(data: Path) -> list[LabelledFilm]:
    """Films of DATA/{NORMAL,PNEUMONIA}/ or of a manifest CSV (columns file, label, patient), in a fixed order.

    Raises `DataError` where there is nothing to read, a class is missing, a label is unknown, or one file has two labels.
    """
    films = _read_manifest(data) if data.is_file() else _read_folder(data)
    labels = {film.label for film in films}
    if missing := set(LABELS) - labels:
        raise DataError(f"{data} holds no film of class {', '.join(sorted(missing))}.")
    return sorted(films, key=lambda film: film.file)


def patient_of(name: str) -> str:
    """`person1003_virus_1685.jpeg` → `person1003`; `NORMAL2-IM-0219-0001.jpeg` → `NORMAL2-IM-0219`; another name is its own
    patient."""
    stem = Path(name).stem
    if match := re.match(r"(person\d+)_|((?:NORMAL2-)?IM-\d+)-", stem):
        return match[1] or match[2]
    return stem


def load_films(films: list[LabelledFilm], size: int, progress: Progress) -> tuple[NDArray[np.uint8], list[str]]:
    """Decode everything once: (count, size, size, 1) uint8, and the SHA-256 of each file. Raises `DataError` naming the
    file."""
    array = np.empty((len(films), size, size, 1), np.uint8)
    hashes = []
    for index, film in enumerate(progress.track(films, "Reading films")):
        try:
            content = film.path.read_bytes()
            array[index, :, :, 0] = _decode(content, size)
        except RejectedImageError as error:
            raise DataError(f"{film.path}: {error.message}") from error
        except OSError as error:
            raise DataError(f"{film.path} cannot be read.") from error
        hashes.append(sha256(content).hexdigest())
    return array, hashes


def _decode(content: bytes, size: int) -> NDArray[np.uint8]:
    try:
        return prepare_film(read_film(content, at_least=DECODED_SIDES * size).pixels.grey, size)
    except (MemoryError, RecursionError) as error:
        raise rejection("UNREADABLE") from error


def _read_folder(data: Path) -> list[LabelledFilm]:
    if not data.is_dir():
        raise DataError(f"{data} is neither a folder nor a manifest.")
    return [
        LabelledFilm(path, path.relative_to(data).as_posix(), label, patient_of(path.name))
        for label in LABELS
        for path in sorted((data / label).rglob("*"))
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]


def _read_manifest(manifest: Path) -> list[LabelledFilm]:
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if missing := set(MANIFEST_COLUMNS) - set(reader.fieldnames or ()):
                raise DataError(f"{manifest} has no column {', '.join(sorted(missing))}.")
            films = [_read_row(manifest, row, reader.line_num) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{manifest} cannot be read.") from error
    labels: dict[str, str] = {}
    for film in films:
        if labels.setdefault(film.file, film.label) != film.label:
            raise DataError(f"{manifest} gives {film.file} two labels.")
    return films


def _read_row(manifest: Path, row: dict[str, str], line: int) -> LabelledFilm:
    if row["label"] not in LABELS:
        raise DataError(f"{manifest}, line {line}: the label is NORMAL or PNEUMONIA. Received: {row['label']!r}")
    if not row["file"] or not row["patient"]:
        raise DataError(f"{manifest}, line {line}: file and patient must not be empty.")
    return LabelledFilm(manifest.parent / row["file"], row["file"], row["label"], row["patient"])
