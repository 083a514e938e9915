"""Published ways to tell a strange film by a network's outputs, fitted on films that are to be read; higher is stranger.

They are compared in `docs/gate.md`; the gate itself uses `Mahalanobis` and, of `fit`, a head trained on negatives.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.covariance import ledoit_wolf, shrunk_covariance
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

Values = NDArray[np.float64]


class Score(Protocol):
    """Features (count, channels) and logits (count,) → strangeness (count,)."""

    def __call__(self, features: NDArray[np.float32], logits: NDArray[np.float32]) -> Values: ...


@dataclass(frozen=True, slots=True)
class Known:
    """What the methods are fitted on: features, logits and truth (1 pneumonia) of films to be read."""

    features: NDArray[np.float32]
    logits: NDArray[np.float32]
    truth: NDArray[np.bool_]


def max_softmax(known: Known) -> Score:
    """One minus the larger of the two classes' probabilities (Hendrycks and Gimpel, ICLR 2017)."""
    return lambda features, logits: 1 / (1 + np.exp(np.abs(np.asarray(logits, np.float64))))


def energy(known: Known) -> Score:
    """Minus the log of the summed exponentials of the logits, here (0, logit) (Liu et al., NeurIPS 2020)."""
    return lambda features, logits: -np.logaddexp(0, np.asarray(logits, np.float64))


def mahalanobis(known: Known) -> Score:
    """Distance to the nearer class mean under a shared covariance (Lee et al., NeurIPS 2018), shrunk after Ledoit and Wolf."""
    means, within = _class_means(known)
    precision = _precision(within)
    return lambda features, logits: np.min([_distance(features - mean, precision) for mean in means], axis=0)


def relative_mahalanobis(known: Known) -> Score:
    """The same, squared, less the squared distance to the mean of all films (Ren et al., 2021). Both covariances are shrunk by
    the same share: each by its own, the sign of the difference would be theirs."""
    means, within = _class_means(known)
    mean = known.features.mean(axis=0)
    shrinkage = float(ledoit_wolf(within.astype(np.float64), assume_centered=True)[1])
    near, whole = _precision(within, shrinkage), _precision(known.features - mean, shrinkage)

    def score(features: NDArray[np.float32], logits: NDArray[np.float32]) -> Values:
        nearest = np.min([_distance(features - one, near) for one in means], axis=0)
        return np.asarray(nearest**2 - _distance(features - mean, whole) ** 2, np.float64)

    return score


def nearest_neighbours(known: Known, k: int = 5) -> Score:
    """Distance of features of length one to the k-th nearest (Sun et al., ICML 2022)."""
    index = NearestNeighbors(n_neighbors=k).fit(_unit(known.features))
    return lambda features, logits: np.asarray(index.kneighbors(_unit(features))[0][:, -1], np.float64)


def virtual_logit(known: Known, dimensions: int = 64) -> Score:
    """What lies outside the principal space, scaled to a logit, against the energy (ViM: Wang et al., CVPR 2022)."""
    space = PCA(min(dimensions, *known.features.shape)).fit(known.features)

    def residual(features: NDArray[np.float32]) -> Values:
        outside = features - space.inverse_transform(space.transform(features))
        return np.asarray(np.linalg.norm(outside, axis=1), np.float64)

    alpha = float(np.abs(known.logits).mean() / residual(known.features).mean())
    return lambda features, logits: (
        alpha * residual(features) - logsumexp(np.stack([np.zeros(len(logits)), np.asarray(logits, np.float64)]), axis=0)
    )


METHODS = {
    "maximum softmax probability": max_softmax,
    "energy": energy,
    "Mahalanobis": mahalanobis,
    "relative Mahalanobis": relative_mahalanobis,
    "nearest neighbours": nearest_neighbours,
    "ViM": virtual_logit,
}


def _class_means(known: Known) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(2, channels), and the features less the mean of their class."""
    means = np.stack([known.features[known.truth == value].mean(axis=0) for value in (False, True)])
    return means, known.features - means[known.truth.astype(int)]


def _precision(centred: NDArray[np.float32], shrinkage: float | None = None) -> Values:
    """Of the covariance shrunk towards a sphere, by what Ledoit and Wolf find where nothing is named."""
    values = centred.astype(np.float64)
    covariance = ledoit_wolf(values, assume_centered=True)[0]
    if shrinkage is not None:
        covariance = shrunk_covariance(values.T @ values / len(values), shrinkage)
    return np.asarray(np.linalg.inv(covariance), np.float64)


def _distance(centred: NDArray[np.float32], precision: Values) -> Values:
    return np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", centred, precision, centred, optimize=True), 0))


def _unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9), np.float32)
