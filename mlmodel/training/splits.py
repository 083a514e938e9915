"""Who trains, who chooses, who judges: split by patient, near-duplicates kept together.

Four parts: `train`; `validate` chooses the epoch; `calibrate` is for the calibration and the operating point, on patients that
neither has seen; `test` judges. A group's part follows from its patients' names and the seed alone, so that films which come
later leave known patients where they were; a frozen manifest of an earlier version makes that certain.
"""

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mlmodel.training.dataset import DataError, LabelledFilm
from mlmodel.training.extras import ORIGIN

Part = Literal["train", "validate", "calibrate", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
SHARES: dict[Part, float] = {"validate": 0.08, "calibrate": 0.09, "test": 0.09}
# Where the films of one group were in several parts, the part that must not be trained on has it
CAUTIOUS: tuple[Part, ...] = ("test", "calibrate", "validate", "train")
THUMBNAIL = 28  # pixels
SAME_FILM = 0.99  # correlation of two thumbnails
COLUMNS = ("file", "sha256", "label", "patient", "group", "part", *ORIGIN)


@dataclass(frozen=True, slots=True)
class FrozenSplit:
    """The parts of an earlier version: of films by SHA-256, and of patients by name; and where its films come from, by
    SHA-256."""

    films: Mapping[str, Part]
    patients: Mapping[str, Part]
    origins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def find_near_duplicates(films: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Pairs of films, (count, size, size, 1), whose thumbnails correlate above `SAME_FILM`."""
    thumbnails = _thumbnails(films)
    pairs = []
    for start in range(0, len(thumbnails), 1024):
        block = thumbnails[start : start + 1024] @ thumbnails.T
        rows, columns = np.nonzero(block > SAME_FILM)
        pairs += [(start + int(row), int(column)) for row, column in zip(rows, columns, strict=True) if column > start + row]
    return pairs


def group_films(films: list[LabelledFilm], pairs: list[tuple[int, int]]) -> list[int]:
    """A group number per film: films of one patient, and near-duplicates with all their patients' films, share one."""
    patients = [film.patient for film in films]
    parent = {patient: patient for patient in patients}

    def root(patient: str) -> str:
        while parent[patient] != patient:
            parent[patient] = parent[parent[patient]]
            patient = parent[patient]
        return patient

    for first, second in pairs:
        parent[root(patients[first])] = root(patients[second])
    numbers: dict[str, int] = {}
    return [numbers.setdefault(root(patient), len(numbers)) for patient in patients]


def split_groups(
    films: Sequence[LabelledFilm],
    hashes: Sequence[str],
    groups: Sequence[int],
    seed: int,
    frozen: FrozenSplit | None = None,
) -> list[Part]:
    """A part per film. Whole groups are assigned: known ones by `frozen`, the others by a hash of patient and seed; a film
    whose patient is known stays with that patient.

    Where a part got no group of a class, which happens with a handful of patients, it takes one from `train`.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    known = {group: _known_parts(films, hashes, indices, frozen) for group, indices in members.items()}
    drawn = {group: _draw_place([films[index].patient for index in indices], seed) for group, indices in members.items()}
    assigned: dict[int, Part] = {
        group: next((part for part in CAUTIOUS if part in known[group].values()), _part_at(drawn[group])) for group in members
    }
    _fill_classes(assigned, [group for group in members if not known[group]], drawn, _labels_of(films, members))
    # A patient who was in one part stays there, also where a new near-duplicate ties them to another part:
    # `find_between_parts` names the films that must then be left out
    return [known[group].get(films[index].patient, assigned[group]) for index, group in enumerate(groups)]


def find_between_parts(
    hashes: Sequence[str], parts: Sequence[Part], pairs: Sequence[tuple[int, int]], frozen: FrozenSplit
) -> list[int]:
    """Films that cannot stay where they are: those that the frozen split has in another part, and of two that are nearly the
    same, in two parts, the one that it does not have there, or of two such the one that is less apart from training."""
    left_out = {index for index, digest in enumerate(hashes) if frozen.films.get(digest, parts[index]) != parts[index]}
    for pair in pairs:
        strangers = [index for index in pair if hashes[index] not in frozen.films]
        if strangers and parts[pair[0]] != parts[pair[1]] and left_out.isdisjoint(pair):
            left_out.add(max(strangers, key=lambda index: CAUTIOUS.index(parts[index])))
    return sorted(left_out)


def write_manifest(
    films: Sequence[LabelledFilm],
    hashes: Sequence[str],
    groups: Sequence[int],
    parts: Sequence[Part],
    extras: Mapping[str, Mapping[str, str]] | None = None,
) -> bytes:
    """The frozen split as CSV: file, SHA-256, label, patient, group, part, and where label and film come from."""
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for film, digest, group, part in zip(films, hashes, groups, parts, strict=True):
        given = (extras or {}).get(film.file, {})
        origin = [given.get(name, "") for name in ORIGIN]
        writer.writerow([film.file, digest, film.label, film.patient, group, part, *origin])
    return buffer.getvalue().encode()


def read_split(manifest: Path) -> FrozenSplit:
    """The split of an earlier version. Raises `DataError` naming the file where it cannot be read, names no film, knows another
    part, or puts a patient in two parts or a film under two labels."""
    films: dict[str, Part] = {}
    patients: dict[str, Part] = {}
    labels: dict[str, str] = {}
    origins: dict[str, dict[str, str]] = {}
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                part = PARTS[PARTS.index(row["part"])]
                if patients.setdefault(row["patient"], part) != part:
                    raise DataError(f"{manifest} has the patient {row['patient']} in {patients[row['patient']]} and in {part}.")
                if labels.setdefault(row["sha256"], row["label"]) != row["label"]:
                    raise DataError(f"{manifest} gives {row['file']} two labels.")
                films[row["sha256"]] = part
                origins[row["sha256"]] = {name: row[name] for name in ORIGIN if row.get(name)}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError) as error:
        raise DataError(f"{manifest} is no split that can be read.") from error
    if not films:
        raise DataError(f"{manifest} is no split: it names no film.")
    return FrozenSplit(films, patients, origins)


def check_labels(films: Sequence[tuple[str, str, str]]) -> None:
    """Raises `DataError` naming both files where one content, of (file, SHA-256, label), has two labels."""
    seen: dict[str, tuple[str, str]] = {}
    for file, digest, label in films:
        other, known = seen.setdefault(digest, (file, label))
        if known != label:
            raise DataError(f"{other} and {file} are the same film with two labels, {known} and {label}.")


def _known_parts(
    films: Sequence[LabelledFilm], hashes: Sequence[str], indices: Sequence[int], frozen: FrozenSplit | None
) -> dict[str, Part]:
    """Patient → part, of the patients of a group that the frozen split knows by name, or else by a film."""
    if frozen is None:
        return {}
    found: dict[str, set[Part]] = defaultdict(set)
    for index in indices:
        patient = films[index].patient
        part = frozen.patients.get(patient) or frozen.films.get(hashes[index])
        if part:
            found[patient].add(part)
    return {patient: min(parts, key=CAUTIOUS.index) for patient, parts in found.items()}


def _draw_place(patients: Sequence[str], seed: int) -> float:
    """In [0, 1), the same for the same patients and seed whatever other films there are."""
    return min(int.from_bytes(sha256(f"{seed}:{patient}".encode()).digest()[:7]) / 2**56 for patient in {*patients})


def _part_at(place: float) -> Part:
    edge = 0.0
    for part, share in SHARES.items():
        edge += share
        if place < edge:
            return part
    return "train"


def _labels_of(films: Sequence[LabelledFilm], members: Mapping[int, Sequence[int]]) -> dict[int, str]:
    """The label that most films of each group have."""
    return {
        group: Counter(films[index].label for index in sorted(indices)).most_common(1)[0][0]
        for group, indices in members.items()
    }


def _fill_classes(
    assigned: dict[int, Part], movable: Sequence[int], drawn: Mapping[int, float], labels: Mapping[int, str]
) -> None:
    """Give each part a group of each class, the next in the order of the hash, as long as `train` keeps one."""
    for label in sorted(set(labels.values())):
        spare = sorted(
            (group for group in movable if labels[group] == label and assigned[group] == "train"), key=drawn.__getitem__
        )
        for part in SHARES:
            if len(spare) > 1 and not any(assigned[group] == part for group in assigned if labels[group] == label):
                assigned[spare.pop(0)] = part


def _thumbnails(films: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(count, `THUMBNAIL`²), each of mean zero and length one; boxes of pixels are averaged."""
    count, size = films.shape[:2]
    edges = np.linspace(0, size, THUMBNAIL + 1).astype(int)[:-1]
    small = np.empty((count, THUMBNAIL * THUMBNAIL), np.float32)
    for start in range(0, count, 256):
        block = films[start : start + 256, :, :, 0].astype(np.float32)
        sums = np.add.reduceat(np.add.reduceat(block, edges, axis=1), edges, axis=2)
        small[start : start + 256] = sums.reshape(len(block), -1)
    small -= small.mean(axis=1, keepdims=True)
    return small / np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-6)
