"""Who trains, who chooses the operating point, who judges: split by patient, near-duplicates kept together."""

import csv
from collections import defaultdict
from io import StringIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlmodel.training.dataset import LabelledFilm

Part = Literal["train", "validate", "test"]
SHARES: dict[Part, float] = {"validate": 0.12, "test": 0.12}
THUMBNAIL = 28  # pixels
SAME_FILM = 0.99  # correlation of two thumbnails


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


def split_groups(films: list[LabelledFilm], groups: list[int], seed: int) -> list[Part]:
    """A part per film. Whole groups are drawn, each class on its own, so that every part has the same prevalence."""
    members: dict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    by_label: dict[str, list[int]] = defaultdict(list)
    for group, indices in members.items():
        labels = [films[index].label for index in indices]
        by_label[max(sorted(set(labels)), key=labels.count)].append(group)
    parts: list[Part] = ["train"] * len(films)
    generator = np.random.default_rng(seed)
    for label in sorted(by_label):
        drawn = [by_label[label][index] for index in generator.permutation(len(by_label[label]))]
        total = sum(len(members[group]) for group in drawn)
        for part, share in SHARES.items():
            count = 0
            while drawn and count < share * total:
                group = drawn.pop()
                count += len(members[group])
                for index in members[group]:
                    parts[index] = part
    return parts


def write_manifest(films: list[LabelledFilm], hashes: list[str], groups: list[int], parts: list[Part]) -> bytes:
    """The frozen split as CSV: file, SHA-256, label, patient, group, part."""
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["file", "sha256", "label", "patient", "group", "part"])
    for film, digest, group, part in zip(films, hashes, groups, parts, strict=True):
        writer.writerow([film.file, digest, film.label, film.patient, group, part])
    return buffer.getvalue().encode()


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
