"""The learned half of the gate, fitted when a network is trained.

Two judges who fail in different ways. A distance to the training films (Mahalanobis: Lee et al., NeurIPS 2018; on the pooled
features of all stages), which needs no idea of what may come; of the published methods it was best here (`docs/gate.md`). And a
linear head on features and layout, trained on negatives (outlier exposure: Hendrycks et al., ICLR 2019), which also says what
the strange film is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mlmodel.gate.descriptor import describe
from mlmodel.gate.judge import ARRAYS, GATE, WILDEST, Gate
from mlmodel.gate.negatives import Material, make_negatives, vary_films
from mlmodel.thumbnail import shrink

Films = NDArray[np.uint8]
FeaturesOf = Callable[[Films], NDArray[np.float32]]

CODES = ("", "NOT_CHEST_XRAY", "LATERAL_VIEW", "INVERTED", "ROTATED", "OUT_OF_DISTRIBUTION")
MOST_FILMS, PER_KIND = 1500, 100
MOST_VALUES = 200_000  # of the directions: 0.8 MB, gone through for every film
PENALTY = 1e-3  # scikit-learn's C
# Of films that are to be read, at most about so many of a thousand pass each limit; then a margin for films of another day
REFUSE_ODDS, REFUSE_DISTANCE, FLAG = 0.998, 0.995, 0.99
ODDS_MARGIN, DISTANCE_MARGIN = 0.7, 1.2


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """Descriptors of films to be read and of those not, the latter with the index of their code in `CODES`."""

    known: NDArray[np.float32]
    strange: NDArray[np.float32]
    classes: NDArray[np.int64]
    features: int


@dataclass(frozen=True, slots=True, eq=False)
class FittedGate:
    """The gate itself, the metadata's `gate`, and the artifact's files by name."""

    gate: Gate
    facts: dict[str, Any]
    files: dict[str, bytes]


def fit_gate(
    *,
    features_of: FeaturesOf,
    train: Films,
    calibrate: Films,
    test: tuple[Films, NDArray[np.float32]],
    outliers: Films | None = None,
    test_objects: Films | None = None,
    seed: int = 0,
) -> FittedGate:
    """The gate of a version.

    `features_of` gives the serving graph's features (count, channels) of films (count, size, size, 1); `train` and `calibrate`
    are the films of those parts, `test` films and features that the gate is only measured on, `outliers` films like chest films
    that are not to be read, such as adults', `test_objects` drawn films that are to pass as the training films do, since a
    portal is tried out with them. Raises `ValueError` where a part is empty.
    """
    train, calibrate = _planes(train, "train", seed), _planes(calibrate, "calibrate", seed)
    known = train if test_objects is None else np.concatenate([train, _planes(test_objects, "test objects", seed)])
    strange = list(make_negatives(train, per_kind=min(PER_KIND, len(train)), seed=seed))
    if outliers is not None:
        strange.append(Material("outliers", "OUT_OF_DISTRIBUTION", _planes(outliers, "outliers", seed)))
    gathered = gather(features_of, known, strange, seed)
    held_out = np.concatenate([calibrate, vary_films(calibrate, seed=seed + 1)])
    features = features_of(held_out[..., None])
    gate = fit_arrays(gathered, describe(shrink(held_out), features))
    facts = {
        "method": "Mahalanobis distance on pooled features; logistic regression on features and layout, with negatives",
        "codes": list(gate.codes),
        "limits": gate.limits,
        "fitted_on": {
            "films": len(gathered.known),
            "negatives": len(gathered.strange),
            "outliers": _count(outliers),
            "test_objects": _count(test_objects),
        },
        "calibrated_on": _measure(gate, held_out, features),
        "tested_on": _measure(gate, test[0][..., 0], test[1]),
    }
    return FittedGate(gate, facts, {GATE: _pack(gate)})


def gather(features_of: FeaturesOf, known: Films, strange: Sequence[Material], seed: int) -> Gathered:
    """Films to be read as they are and varied, and those not."""
    both = np.concatenate([known, vary_films(known, seed=seed)])
    films = np.concatenate([both, *(kind.films for kind in strange)])
    features = features_of(films[..., None])
    descriptors = describe(shrink(films), features)
    classes = np.concatenate([np.full(len(kind.films), CODES.index(kind.code)) for kind in strange])
    return Gathered(descriptors[: len(both)], descriptors[len(both) :], classes, features.shape[1])


# Small matrices, many times: on a busy machine threads that wait for each other take far longer than one
@threadpool_limits.wrap(limits=1, user_api="blas")
def fit_arrays(gathered: Gathered, held_out: NDArray[np.float32]) -> Gate:
    """The gate whose limits are chosen on descriptors of films to be read that it was not fitted on."""
    mean = gathered.known.mean(axis=0)
    scale = gathered.known.std(axis=0) + 1e-3
    known, strange = (np.clip((part - mean) / scale, -WILDEST, WILDEST) for part in (gathered.known, gathered.strange))
    directions, variances = find_spread(known[:, : gathered.features])
    weights, bias, classes = _train_head(known, strange, gathered.classes)
    codes = tuple(CODES[index] for index in classes)
    gate = Gate(codes, mean, scale, directions, variances, weights, bias, limits={})
    odds, distance, _ = gate.scores(held_out)
    gate.limits.update(
        refuse_odds=float(np.quantile(odds, REFUSE_ODDS)) + ODDS_MARGIN,
        refuse_distance=float(np.quantile(distance, REFUSE_DISTANCE)) * DISTANCE_MARGIN,
        flag_odds=float(np.quantile(odds, FLAG)),
        flag_distance=float(np.quantile(distance, FLAG)),
    )
    return gate


def find_spread(features: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Directions and variances for `spread_distance`, from standardised features (count, channels); the covariance is shrunk
    (Ledoit and Wolf, 2004), or directions in which the films happen not to differ would count without bound."""
    covariance, _ = ledoit_wolf(features.astype(np.float64), assume_centered=True)
    variances, directions = np.linalg.eigh(covariance)
    variances, directions = variances[::-1], directions[:, ::-1]
    kept = min(len(variances), MOST_VALUES // len(variances))
    rest = variances[kept:].mean() if kept < len(variances) else variances[-1]
    return directions[:, :kept].astype(np.float32), np.append(variances[:kept], rest).astype(np.float32)


def _train_head(
    known: NDArray[np.float32], strange: NDArray[np.float32], classes: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Weights (channels, classes), bias (classes,), and which of `CODES` the classes are."""
    truth = np.concatenate([np.zeros(len(known), np.int64), classes])
    head = LogisticRegression(C=PENALTY, max_iter=1000, tol=1e-3).fit(np.concatenate([known, strange]), truth)
    return head.coef_.T.astype(np.float32), head.intercept_.astype(np.float32), head.classes_


def _planes(films: Films, name: str, seed: int) -> Films:
    """At most `MOST_FILMS` of them, drawn at random, (count, size, size)."""
    if not len(films):
        raise ValueError(f"The gate needs films of the part {name}. Received: none")
    planes = films[..., 0] if films.ndim == 4 else films
    if len(planes) <= MOST_FILMS:
        return planes
    return planes[np.sort(np.random.default_rng(seed).permutation(len(planes))[:MOST_FILMS])]


def _measure(gate: Gate, films: Films, features: NDArray[np.float32]) -> dict[str, float]:
    """Of films that are all to be read."""
    verdicts = gate.judge_films(films, features)
    refused = float(np.mean([verdict.code is not None for verdict in verdicts]))
    flagged = float(np.mean([verdict.is_suspect and verdict.code is None for verdict in verdicts]))
    return {"films": len(films), "refused": refused, "flagged": flagged}


def _count(films: Films | None) -> int:
    return 0 if films is None else len(films)


def _pack(gate: Gate) -> bytes:
    buffer = BytesIO()
    arrays = {name: getattr(gate, name) for name in ARRAYS}
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
