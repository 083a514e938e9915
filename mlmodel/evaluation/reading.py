"""Run a version over labelled films, as `predict` does: same decoding, same gate, same engine."""

from collections.abc import Sequence
from hashlib import sha256
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
    from mlmodel.api import Predictor

BATCH_SIZE = 16


def read_films(predictor: "Predictor", data: Path, progress: Progress) -> list[Reading]:
    """A reading per film of a folder or manifest, in the order of their names.

    Raises `DataError` where there are no films of both classes, labels contradict, or not one film can be read.
    """
    films, extras = find_films(data), read_extras(data)
    batches = [films[start : start + BATCH_SIZE] for start in range(0, len(films), BATCH_SIZE)]
    readings: list[Reading] = []
    for batch in progress.track(batches, "Reading films"):
        readings += _read_batch(predictor, batch, extras)
    check_labels([(str(film.path), one.sha256, one.label) for film, one in zip(films, readings, strict=True) if one.sha256])
    if all(one.probability is None for one in readings):
        codes = sorted({one.code for one in readings})
        raise DataError(f"Not one of the {len(readings)} films of {data} could be read ({', '.join(codes)}).")
    return readings


def _read_batch(predictor: "Predictor", films: Sequence[LabelledFilm], extras: dict[str, dict[str, str]]) -> list[Reading]:
    contents = [_read_file(film.path) for film in films]
    outcomes = iter(predictor.predict([content for content in contents if content is not None], display=False))
    readings = []
    for film, content in zip(films, contents, strict=True):
        traits = traits_of(film.path.name, extras.get(film.file))
        if content is None:
            readings.append(Reading(film.file, "", film.patient, film.label, "error", "NOT_OPENED", traits=traits))
            continue
        outcome, digest = next(outcomes), sha256(content).hexdigest()
        if isinstance(outcome, Finding):
            said, called = outcome.probability, outcome.label
            one = Reading(film.file, digest, film.patient, film.label, "finding", "", said, called, traits)
        else:
            one = Reading(film.file, digest, film.patient, film.label, "refusal", outcome.code, traits=traits)
        readings.append(one)
    return readings


def _read_file(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
