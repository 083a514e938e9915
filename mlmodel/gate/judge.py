"""The learned half of the gate, as served: a head trained on negatives and a distance to the training films, on one descriptor.

Plain matrix products over a batch, some microseconds a film; no library but numpy.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mlmodel.artifact import read_metadata
from mlmodel.blas import one_thread
from mlmodel.gate.descriptor import CELLS, describe
from mlmodel.thumbnail import shrink
from mlmodel.types import ArtifactCorruptError, ArtifactIncompatibleError

GATE = "gate.npz"
ARRAYS = ("mean", "scale", "directions", "variances", "weights", "bias")
LIMITS = ("refuse_odds", "refuse_distance", "flag_odds", "flag_distance")
WILDEST = 30.0  # standard deviations: a wild value must not drown the others


@dataclass(frozen=True, slots=True)
class Verdict:
    """On one film: the code to refuse it with, or None; `is_suspect` where it is read, but with a warning."""

    code: str | None
    is_suspect: bool


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """`codes` name the head's classes, the first, empty, a film to be read. `mean` and `scale` (channels,) standardise the
    descriptor; `directions` (features, k) and `variances` (k + 1,) describe how the training films' features spread, the last
    variance along every direction left out; `weights` (channels, classes) and `bias` (classes,) are the head's. `limits` are
    the scores above which a film is refused or marked."""

    codes: tuple[str, ...]
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    directions: NDArray[np.float32]
    variances: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    limits: dict[str, float]

    def judge(self, thumbnails: NDArray[np.float32], features: NDArray[np.float32]) -> list[Verdict]:
        """Thumbnails (count, side, side) and the serving graph's features (count, channels) → a verdict each."""
        odds, distance, likeliest = self.scores(describe(thumbnails, features))
        limits = self.limits
        by_head, by_distance = odds > limits["refuse_odds"], distance > limits["refuse_distance"]
        suspect = (odds > limits["flag_odds"]) | (distance > limits["flag_distance"])
        # The head names what it knows; what is far from the films and from its negatives alike is only known to be strange
        return [
            Verdict(self.codes[best] if head or (far and odd > 0) else "OUT_OF_DISTRIBUTION" if far else None, bool(marked))
            for head, far, odd, best, marked in zip(by_head, by_distance, odds, likeliest, suspect, strict=True)
        ]

    def judge_films(self, films: NDArray[np.uint8], features: NDArray[np.float32]) -> list[Verdict]:
        """As `judge`, for films (count, size, size) of which nobody has thumbnails yet."""
        with one_thread():
            return self.judge(shrink(films), features)

    def scores(self, descriptors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.intp]]:
        """(count, channels) → log odds against a film to be read, distance as `spread_distance`, likeliest other class."""
        standard = np.clip((descriptors - self.mean) / self.scale, -WILDEST, WILDEST)
        logits = standard @ self.weights + self.bias
        distance = spread_distance(standard[:, : len(self.directions)], self.directions, self.variances)
        others = logits[:, 1:]
        top = others.max(axis=1)
        odds = top + np.log(np.exp(others - top[:, None]).sum(axis=1)) - logits[:, 0]
        return odds, distance, others.argmax(axis=1) + 1


def spread_distance(
    features: NDArray[np.float32], directions: NDArray[np.float32], variances: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Mahalanobis distance from the origin over the root of the number of channels: about one for a training film."""
    along = features @ directions
    left_out = np.maximum(np.square(features).sum(axis=1) - np.square(along).sum(axis=1), 0)
    whole = np.square(along) @ (1 / variances[:-1])
    if directions.shape[0] > directions.shape[1]:
        whole = whole + left_out / variances[-1]
    return np.asarray(np.sqrt(whole / features.shape[1]), np.float32)


def load_gate(directory: Path, metadata: dict[str, Any] | None = None) -> Gate | None:
    """The gate of a verified artifact; None where it was made without one.

    Raises `ArtifactCorruptError` where it cannot be read, `ArtifactIncompatibleError` where it does not fit this code.
    """
    facts = (read_metadata(directory) if metadata is None else metadata).get("gate")
    if facts is None:
        return None
    try:
        with np.load(directory / GATE, allow_pickle=False) as archive:
            arrays = {name: archive[name].astype(np.float32) for name in ARRAYS}
    except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
        raise ArtifactCorruptError(f"{directory / GATE} cannot be read.") from error
    try:
        limits = {name: float(facts["limits"][name]) for name in LIMITS}
        codes = tuple(str(code) for code in facts["codes"])
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactIncompatibleError(f"{directory} describes a gate that this code does not know.") from error
    shapes = {name: array.shape for name, array in arrays.items()}
    features, kept = shapes["directions"]
    channels, classes = features + CELLS * CELLS // 2, len(codes)
    fitting = {"mean": (channels,), "scale": (channels,), "variances": (kept + 1,)}
    if shapes != {**shapes, **fitting, "weights": (channels, classes), "bias": (classes,)}:
        raise ArtifactIncompatibleError(f"{directory / GATE} does not fit its metadata.")
    return Gate(codes=codes, limits=limits, **arrays)
