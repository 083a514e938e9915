"""Recipes compared by cross-validation over patients, each network judged on the patients that it did not see."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any, cast

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from mlmodel.evaluation.calibrators import apply, fit, weigh
from mlmodel.evaluation.measures import auc
from mlmodel.evaluation.operating_point import choose_threshold
from mlmodel.pretrained import Pretrained
from mlmodel.training.dataset import DataError, LabelledFilm, find_films, load_films
from mlmodel.training.habits import find_contrary
from mlmodel.training.opacities import draw_opacities
from mlmodel.training.options import RunOptions
from mlmodel.training.progress import Progress
from mlmodel.training.recipe import Recipe, change_recipe
from mlmodel.training.shifts import AS_THEY_ARE, SHIFTS, Films, Truth
from mlmodel.training.splits import find_near_duplicates, group_films, read_split
from mlmodel.training.trainer import Examples, Trainer, predict_logits

Rows = NDArray[np.int64]
Logits = NDArray[np.floating[Any]]
VALIDATION_PARTS = 10  # one patient in so many chooses the epoch
CLOSE = 0.05  # of probability, between a film and its full-size original
SMALL = 64  # pixels, to find near-duplicates by
TOO_FEW = "There are too few patients of each class for so many folds."
NO_CHECKPOINTS = 1e9  # seconds between them: a trial is short


@dataclass(frozen=True, slots=True)
class Trial:
    """One recipe under its name, and what its network starts from, as `RunOptions.weights` says."""

    name: str
    recipe: Recipe
    weights: str


@dataclass(frozen=True, slots=True)
class Protocol:
    """`folds` folds by patient, each of which judges what the others trained; of their patients one in `one_in` is trained
    with, for the sake of time. Accuracies are for a share of pneumonia of `prevalence`, at a threshold for `sensitivity`."""

    folds: int = 5
    one_in: int = 1
    prevalence: float = 0.62
    sensitivity: float = 0.95
    seed: int = 7

    def __post_init__(self) -> None:
        if self.folds < 2 or self.one_in < 1:
            raise ValueError(f"There are at least two folds, and one_in is at least 1. Received: {self.folds}, {self.one_in}")


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows of the films that train, choose the epoch, and judge."""

    train: Rows
    validate: Rows
    judge: Rows


def read_trials(path: Path, base: Recipe, weights: str) -> list[Trial]:
    """From a JSON file of names and, for each, what differs from `base`; `weights` may differ as well. Raises `ValueError`
    naming the trial."""
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"The trials {path} cannot be read.") from error
    if not isinstance(given, dict) or not given or not all(isinstance(changes, dict) for changes in given.values()):
        raise ValueError(f"{path} is no JSON object of names and changes.")
    trials = []
    for name, changes in given.items():
        start = changes.pop("weights", weights)
        try:
            trials.append(Trial(name, change_recipe(base, changes), str(start)))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return trials


def choose_trials(trials: Sequence[Trial], names: Sequence[str] | None) -> list[Trial]:
    """Those with the names, or all. Raises `ValueError` for a name that there is not."""
    if unknown := set(names or ()) - {trial.name for trial in trials}:
        raise ValueError(f"There is no trial {', '.join(sorted(unknown))}.")
    return [trial for trial in trials if names is None or trial.name in names]


def make_folds(truth: Truth, groups: Rows, protocol: Protocol) -> list[Fold]:
    """Every fold of the protocol. Raises `DataError` for too few patients."""

    def split(parts: int, rows: Rows) -> Iterator[tuple[Rows, Rows]]:
        splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=protocol.seed)
        for rest, part in splitter.split(rows, truth[rows], groups[rows]):
            yield rows[rest], rows[part]

    found = []
    try:
        for others, judge in split(protocol.folds, np.arange(len(truth))):
            chosen = next(split(protocol.one_in, others))[1] if protocol.one_in > 1 else others
            train, validate = next(split(VALIDATION_PARTS, chosen))
            found.append(Fold(train, validate, judge))
    except ValueError as error:
        raise DataError(TOO_FEW) from error
    for fold in found:
        halves = (fold.judge[half] for half in _halves(groups[fold.judge]))
        if any(len(set(truth[rows])) < 2 for rows in (fold.train, fold.validate, *halves)):
            raise DataError(TOO_FEW)
    return found


class Comparison:
    """Trials on one set of films. `full_size` are originals of some of them, known by their names, whose patients train
    nothing. `split` is the manifest of a version: the films of its test part are left out, for it to judge alone, and so are
    their originals."""

    def __init__(
        self,
        data: Path,
        protocol: Protocol,
        progress: Progress,
        *,
        full_size: Path | None = None,
        split: Path | None = None,
        cache: Path | None = None,
    ) -> None:
        self.protocol, self.progress, self.cache = protocol, progress, cache
        films, originals = find_films(data), find_films(full_size) if full_size else []
        small, hashes = load_films(films, SMALL, progress, cache)
        kept = _outside_test(hashes, split)
        self.films, hashes, small = [films[row] for row in kept], [hashes[row] for row in kept], small[kept]
        copies = [(film, row) for film, row in zip(originals, find_copies(films, originals), strict=True) if row in kept]
        self.originals = [film for film, _ in copies]
        if len(copies) < len(originals):
            progress.say(f"{len(originals) - len(copies)} of {len(originals)} originals are of films that are left out")
        self.truth = np.array([film.label == "PNEUMONIA" for film in self.films], np.float32)
        self.groups = np.array(group_films(self.films, find_near_duplicates(small)))
        self.folds = make_folds(self.truth, self.groups, protocol)
        self.small = np.searchsorted(kept, [row for _, row in copies])
        named = [[film.label, film.patient, digest] for film, digest in zip(self.films, hashes, strict=True)]
        self.films_sha256 = sha256(json.dumps([named, self.small.tolist()]).encode()).hexdigest()

    def describe(self, trial: Trial, number: int, pretrained: Pretrained | None) -> dict[str, Any]:
        """All that decides what comes out, as JSON has it."""
        plan = {
            "trial": trial.name,
            "fold": number,
            "protocol": asdict(self.protocol),
            "recipe": trial.recipe.as_dict(),
            "weights_sha256": pretrained.sha256 if pretrained else None,
            "films_sha256": self.films_sha256,
        }
        return cast("dict[str, Any]", json.loads(json.dumps(plan)))

    def run(self, trial: Trial, number: int, pretrained: Pretrained | None) -> dict[str, Any]:
        """Train a network and judge it on the fold of that number: what `describe` says, and measures by name. Raises
        `DataError` or `ValueError` for what cannot be trained, `StoppedError` on SIGTERM."""
        started = time.monotonic()
        fold, films = self.folds[number], self._load(self.films, trial.recipe.network.input_size)
        train = fold.train[~np.isin(self.groups[fold.train], self.groups[self.small])]
        if len(set(self.truth[train])) < 2:
            raise DataError("The originals leave too few patients of each class to train with.")
        network = self._train(trial, films, train, fold.validate, pretrained)
        judged, truth = films[fold.judge], self.truth[fold.judge]
        logits = {name: predict_both_ways(network, change(judged, truth)) for name, change in SHIFTS.items()}
        found = measure_shifts(logits, truth, self.groups[fold.judge], self.protocol)
        contrary = find_contrary(films[fold.train], self.truth[fold.train], judged, truth, seed=self.protocol.seed)
        found["AUC, contrary"] = auc(truth[contrary], logits[AS_THEY_ARE][contrary])
        found["AUC, opacity drawn"] = self._tell_opacities(network, judged[truth == 0])
        if self.originals:
            found |= self._measure_full_size(network, films, logits[AS_THEY_ARE], truth)
        keras.backend.clear_session()
        return {
            **self.describe(trial, number, pretrained),
            "trained_on": len(train),
            "judged_on": len(truth),
            "seconds": round(time.monotonic() - started),
            "measures": found,
        }

    def _train(self, trial: Trial, films: Films, train: Rows, validate: Rows, pretrained: Pretrained | None) -> keras.Model:
        with TemporaryDirectory() as folder:
            trainer = Trainer(
                trial.recipe,
                Examples(films[train], self.truth[train]),
                Examples(films[validate], self.truth[validate]),
                options=RunOptions(checkpoint_seconds=NO_CHECKPOINTS),
                checkpoint=Path(folder) / "checkpoint.npz",
                progress=self.progress,
                fingerprint=trial.name,
            )
            if pretrained:
                trainer.start_from(pretrained)
            return trainer.fit()

    def _tell_opacities(self, network: keras.Model, normal: Films) -> float:
        """How well normal films with opacities drawn into them are told from themselves without."""
        drawn = draw_opacities(normal, np.random.default_rng(self.protocol.seed))
        logits = np.concatenate([predict_both_ways(network, films) for films in (normal, drawn)])
        return auc(np.repeat([0.0, 1.0], len(normal)), logits)

    def _measure_full_size(self, network: keras.Model, films: Films, logits: Logits, truth: Truth) -> dict[str, float]:
        calibration = fit("platt", weigh(logits.astype(float), truth.astype(float), self.protocol.prevalence))
        originals = predict_both_ways(network, self._load(self.originals, films.shape[1]))
        copies = predict_both_ways(network, films[self.small])
        difference = np.abs(apply(calibration, originals) - apply(calibration, copies))
        return {"full size, close": float((difference <= CLOSE).mean()), "full size, largest": float(difference.max())}

    def _load(self, films: list[LabelledFilm], size: int) -> Films:
        return load_films(films, size, self.progress, self.cache)[0]


def _outside_test(hashes: Sequence[str], split: Path | None) -> Rows:
    """The rows of the films, given their SHA-256, that are not in the split's test part."""
    parts = read_split(split).films if split else {}
    return np.array([row for row, digest in enumerate(hashes) if parts.get(digest) != "test"], np.int64)


def find_copies(films: Sequence[LabelledFilm], originals: Sequence[LabelledFilm]) -> Rows:
    """The rows of the films that have the originals' names. Raises `DataError` where one has none or several."""
    rows: dict[str, list[int]] = {}
    for row, film in enumerate(films):
        rows.setdefault(Path(film.file).name, []).append(row)
    found = [rows.get(Path(film.file).name, []) for film in originals]
    for film, each in zip(originals, found, strict=True):
        if len(each) != 1:
            raise DataError(f"{film.path} is the original of {len(each) or 'no'} film{'s' if len(each) > 1 else ''}.")
    return np.array([row for each in found for row in each], np.int64)


def predict_both_ways(network: keras.Model, films: Films) -> Logits:
    """(count,) logits, as served: the mean of film and mirror image."""
    return (predict_logits(network, films) + predict_logits(network, films[:, :, ::-1])) / 2


def measure_shifts(logits: Mapping[str, Logits], truth: Truth, groups: Rows, protocol: Protocol) -> dict[str, float]:
    """For each shift the AUC, and the accuracy at the threshold that the films of one half of the patients, as they are, choose
    for the other half's, and the other way round."""
    found = {f"AUC, {name}": auc(truth, values) for name, values in logits.items()}
    halves = _halves(groups)
    plain = logits[AS_THEY_ARE]
    thresholds = [choose_threshold(truth[half], plain[half], protocol.sensitivity) for half in halves]
    for name, values in logits.items():
        found[f"accuracy, {name}"] = fmean(
            _accuracy(truth[half], values[half] >= threshold, protocol.prevalence)
            for half, threshold in zip(halves, reversed(thresholds), strict=True)
        )
    return found


def _halves(groups: Rows) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Two halves of the patients."""
    return groups % 2 == 0, groups % 2 == 1


def _accuracy(truth: Truth, is_positive: NDArray[np.bool_], prevalence: float) -> float:
    sensitivity, specificity = is_positive[truth == 1].mean(), 1 - is_positive[truth == 0].mean()
    return float(prevalence * sensitivity + (1 - prevalence) * specificity)
