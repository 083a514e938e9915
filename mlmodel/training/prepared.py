"""The films of a training run: found, decoded once, split by patient."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mlmodel.training.dataset import DataError, LabelledFilm, find_films, load_films
from mlmodel.training.extras import ORIGIN, read_extras
from mlmodel.training.progress import Progress
from mlmodel.training.recipe import Recipe
from mlmodel.training.splits import (
    PARTS,
    Part,
    check_labels,
    find_between_parts,
    find_near_duplicates,
    group_films,
    read_split,
    split_groups,
    write_manifest,
)
from mlmodel.training.trainer import Examples

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Everything decoded and split, one row per film; `manifest` is the split as CSV, `extras` what a manifest says besides."""

    films: list[LabelledFilm]
    hashes: list[str]
    array: NDArray[np.uint8]
    truth: NDArray[np.float32]
    groups: NDArray[np.int64]
    parts: NDArray[np.str_]
    extras: Mapping[str, Mapping[str, str]]
    manifest: bytes

    def part(self, name: Part) -> Examples:
        chosen = self.parts == name
        return Examples(self.array[chosen], self.truth[chosen])

    def groups_of(self, name: Part) -> list[int]:
        return self.groups[self.parts == name].tolist()

    def describe(self) -> dict[str, Any]:
        """Films, groups of patients and classes of each part, and where films and labels come from, for the metadata."""
        parts = {}
        for name in PARTS:
            truth = self.part(name).truth
            sick = int(truth.sum())
            counts = {"films": len(truth), "patients": len(set(self.groups_of(name))), "normal": len(truth) - sick}
            parts[name] = {**counts, "pneumonia": sick}
        origins = {column: Counter(given[column] for given in self.extras.values() if given.get(column)) for column in ORIGIN}
        return {"parts": parts, "sources": dict(origins["source"]), "licences": dict(origins["licence"])}


def prepare_data(
    data: Path,
    recipe: Recipe,
    progress: Progress,
    *,
    cache: Path | None = None,
    split: Path | None = None,
    origin: Mapping[str, str] | None = None,
) -> Prepared:
    """Find, decode, group and split; known films and patients keep the part that `split`, the manifest of an earlier version,
    gives them, and the source and licence that it names, where their own manifest names none. `origin` is that of the others.
    A film that would tie two of its parts together is left out (`find_between_parts`). Raises `DataError`."""
    frozen = read_split(split) if split else None
    films, extras = find_films(data), read_extras(data)
    array, hashes = load_films(films, recipe.network.input_size, progress, cache)
    known = frozen.origins if frozen else {}
    given = {
        film.file: {**(origin or {}), **known.get(digest, {}), **_filled(extras.get(film.file, {}))}
        for film, digest in zip(films, hashes, strict=True)
    }
    check_labels([(str(film.path), digest, film.label) for film, digest in zip(films, hashes, strict=True)])
    pairs = find_near_duplicates(array)
    groups = group_films(films, pairs)
    parts = split_groups(films, hashes, groups, recipe.seed, frozen)
    if frozen and (between := find_between_parts(hashes, parts, pairs, frozen)):
        progress.say(
            f"{len(between)} films are left out, each known to another part or nearly the same: {films[between[0]].file}"
        )
        kept = np.delete(np.arange(len(films)), between)
        films, hashes, array = _take(films, kept), _take(hashes, kept), array[kept]
        groups, parts = _take(groups, kept), _take(parts, kept)
        given = {film.file: given[film.file] for film in films}
    truth = np.array([film.label == "PNEUMONIA" for film in films], np.float32)
    for name in PARTS:
        if len({label for label, part in zip(truth, parts, strict=True) if part == name}) < 2:
            raise DataError(f"{data} has too few patients of each class to train, choose, calibrate and test on.")
    manifest = write_manifest(films, hashes, groups, parts, given)
    return Prepared(films, hashes, array, truth, np.array(groups), np.array(parts), given, manifest)


def prepare_part(manifest: Path, data: Path, part: Part, size: int, progress: Progress, *, most: int | None = None) -> Prepared:
    """The films of one part of a version's `split.csv`, found by name below `data`, each with the content that is named there;
    with `most`, that many of them, spread evenly over the list. Raises `DataError`."""
    rows = _read_rows(manifest, part)
    if most and most < len(rows):
        rows = [rows[index] for index in np.linspace(0, len(rows) - 1, most).astype(int)]
    folder = data.parent if data.is_file() else data
    films = [LabelledFilm(folder / row["file"], row["file"], row["label"], row["patient"]) for row in rows]
    array, hashes = load_films(films, size, progress)
    for film, row, digest in zip(films, rows, hashes, strict=True):
        if digest != row["sha256"]:
            raise DataError(f"{film.path} is not the film that {manifest} names.")
    truth = np.array([film.label == "PNEUMONIA" for film in films], np.float32)
    groups = np.array([int(row["group"]) for row in rows])
    return Prepared(
        films, hashes, array, truth, groups, np.array([part] * len(films)), read_extras(data), manifest.read_bytes()
    )


def _read_rows(manifest: Path, part: Part) -> list[dict[str, str]]:
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["part"] == part]
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{manifest} is no split that can be read.") from error
    if not rows:
        raise DataError(f"{manifest} names no film of the part {part}.")
    return rows


def _take(rows: Sequence[T], chosen: NDArray[np.intp]) -> list[T]:
    return [rows[index] for index in chosen]


def _filled(given: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in given.items() if value}
