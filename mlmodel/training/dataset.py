"""Which films there are to train on: found in a folder or a manifest, labelled, with their patients."""

import csv
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mlmodel.codes import rejection
from mlmodel.decoding import read_film
from mlmodel.preprocessing import DECODED_SIDES, prepare_film
from mlmodel.training.cache import cache_file, read_cache, write_cache
from mlmodel.training.progress import Progress
from mlmodel.types import RejectedImageError

S = TypeVar("S")
T = TypeVar("T")
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


def load_films(
    films: list[LabelledFilm], size: int, progress: Progress, cache: Path | None = None
) -> tuple[NDArray[np.uint8], list[str]]:
    """Decode everything once, on every core: (count, size, size, 1) uint8, and the SHA-256 of each file. With a folder `cache`,
    films that were decoded before are read from there. Raises `DataError` naming the file."""

    def decode(index: int) -> None:
        array[index, :, :, 0] = _decode(films[index], size)

    hashes = _on_every_core(_hash, films, "Reading files", progress)
    path = cache_file(cache, hashes, size) if cache else None
    shape = (len(films), size, size, 1)
    if path and (found := read_cache(path, shape)) is not None:
        progress.say(f"{len(films)} decoded films from {path}")
        return found, hashes
    array = np.empty(shape, np.uint8)
    _on_every_core(decode, range(len(films)), "Decoding films", progress)
    if path:
        _keep(path, array, progress)
    return array, hashes


def _on_every_core(work: Callable[[S], T], items: Sequence[S], description: str, progress: Progress) -> list[T]:
    """In threads: the decoders let go of Python's lock while they work."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        try:
            return list(progress.track(threads.map(work, items), description, total=len(items)))
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise


def _hash(film: LabelledFilm) -> str:
    return sha256(_read(film)).hexdigest()


def _read(film: LabelledFilm) -> bytes:
    try:
        return film.path.read_bytes()
    except OSError as error:
        raise DataError(f"{film.path} cannot be read.") from error


def _decode(film: LabelledFilm, size: int) -> NDArray[np.uint8]:
    try:
        return prepare_film(read_film(_read(film), at_least=DECODED_SIDES * size).pixels.grey, size)
    except RejectedImageError as error:
        raise DataError(f"{film.path}: {error.message}") from error
    except (MemoryError, RecursionError) as error:
        raise DataError(f"{film.path}: {rejection('UNREADABLE').message}") from error


def _keep(path: Path, films: NDArray[np.uint8], progress: Progress) -> None:
    try:
        write_cache(path, films)
    except OSError as error:  # a convenience: the run goes on without it
        progress.say(f"The decoded films could not be kept in {path}: {error.strerror or error}")


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
        with manifest.open(newline="", encoding="utf-8-sig") as file:
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
