"""Run a version over labelled films, as `predict` does: same decoding, same gate, same engine."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from mlmodel.api import Finding
from mlmodel.evaluation.readings import Reading
from mlmodel.evaluation.subgroups import traits_of
from mlmodel.training.dataset import DataError, LabelledFilm, find_films
from mlmodel.training.extras import read_extras
from mlmodel.training.progress import Progress
from mlmodel.training.splits import check_labels

if TYPE_CHECKING:
    from mlmodel.api import Outcome, Predictor

BATCH_SIZE = 16


def read_films(predictor: "Predictor", data: Path, progress: Progress) -> list[Reading]:
    """A reading per film of a folder or manifest, in the order of their names.

    Raises `DataError` where there are no films of both classes, labels contradict, or not one film can be read.
    """
    films, extras = find_films(data), read_extras(data)
    hashes: list[str] = []
    outcomes = chain.from_iterable(predictor.read(_open_films(films, hashes), batch_size=BATCH_SIZE))
    readings = [
        _describe(film, hashes[index], outcome, extras)
        for index, (film, outcome) in enumerate(zip(progress.track(films, "Reading films"), outcomes, strict=True))
    ]
    check_labels([(str(film.path), one.sha256, one.label) for film, one in zip(films, readings, strict=True) if one.sha256])
    if all(one.probability is None for one in readings):
        codes = sorted({one.code for one in readings})
        raise DataError(f"Not one of the {len(readings)} films of {data} could be read ({', '.join(codes)}).")
    return readings


def _open_films(films: Sequence[LabelledFilm], hashes: list[str]) -> Iterator[bytes]:
    """The bytes of each, whose SHA-256 is added to `hashes`; an empty one for a film that cannot be opened."""
    for film in films:
        try:
            content = film.path.read_bytes()
        except OSError:
            content = b""
            hashes.append("")
        else:
            hashes.append(sha256(content).hexdigest())
        yield content


def _describe(film: LabelledFilm, digest: str, outcome: "Outcome", extras: dict[str, dict[str, str]]) -> Reading:
    traits = traits_of(film.path.name, extras.get(film.file))
    if not digest:
        return Reading(film.file, "", film.patient, film.label, "error", "NOT_OPENED", traits=traits)
    if isinstance(outcome, Finding):
        said, called = outcome.probability, outcome.label
        return Reading(film.file, digest, film.patient, film.label, "finding", "", said, called, traits)
    return Reading(film.file, digest, film.patient, film.label, "refusal", outcome.code, traits=traits)
