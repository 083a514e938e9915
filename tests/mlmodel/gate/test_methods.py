"""The published scores, against hand-worked values and another library."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf, ShrunkCovariance

from mlmodel.gate.fit import find_spread
from mlmodel.gate.judge import spread_distance
from mlmodel.gate.methods import METHODS, Known, virtual_logit

GENERATOR = np.random.default_rng(0)
KNOWN = Known(
    features=GENERATOR.normal(size=(300, 6)).astype(np.float32) + np.repeat([[-2.0], [2.0]], 150, axis=0).astype(np.float32),
    logits=np.repeat([-4.0, 4.0], 150).astype(np.float32),
    truth=np.repeat([False, True], 150),
)


def test_softmax_and_energy_are_those_of_two_classes_with_logits_zero_and_x() -> None:
    logits = np.array([-2.0, 0.0, 3.0], np.float32)
    features = np.zeros((3, 6), np.float32)
    probability = 1 / (1 + np.exp(-logits))
    assert METHODS["maximum softmax probability"](KNOWN)(features, logits) == pytest.approx(
        1 - np.maximum(probability, 1 - probability)
    )
    assert METHODS["energy"](KNOWN)(features, logits) == pytest.approx(-np.log(1 + np.exp(logits)))


def test_mahalanobis_is_scipys_to_the_nearer_class() -> None:
    means = [KNOWN.features[:150].mean(axis=0), KNOWN.features[150:].mean(axis=0)]
    centred = np.concatenate([KNOWN.features[:150] - means[0], KNOWN.features[150:] - means[1]])
    precision = np.linalg.inv(LedoitWolf(assume_centered=True).fit(centred.astype(np.float64)).covariance_)
    strange = np.array([[5, 5, 0, 0, 0, 0], [0, 0, 0, 0, 0, -1]], np.float32)
    expected = [min(mahalanobis(one, mean, precision) for mean in means) for one in strange]
    assert METHODS["Mahalanobis"](KNOWN)(strange, np.zeros(2, np.float32)) == pytest.approx(expected, rel=1e-4)


def test_the_relative_distance_is_a_difference_of_squares_under_one_shrinkage() -> None:
    means = [KNOWN.features[:150].mean(axis=0), KNOWN.features[150:].mean(axis=0)]
    within = np.concatenate([KNOWN.features[:150] - means[0], KNOWN.features[150:] - means[1]]).astype(np.float64)
    shrinkage = LedoitWolf(assume_centered=True).fit(within).shrinkage_
    whole = KNOWN.features.astype(np.float64) - KNOWN.features.mean(axis=0)
    precision = np.linalg.inv(ShrunkCovariance(shrinkage=shrinkage, assume_centered=True).fit(whole).covariance_)
    strange = np.array([[9, 9, 9, 9, 9, 9]], np.float32)
    near = METHODS["Mahalanobis"](KNOWN)(strange, np.zeros(1, np.float32))[0]
    far = mahalanobis(strange[0], KNOWN.features.mean(axis=0), precision)
    found = METHODS["relative Mahalanobis"](KNOWN)(strange, np.zeros(1, np.float32))
    assert found == pytest.approx([near**2 - far**2], rel=1e-3)


@pytest.mark.parametrize(
    ("name", "strange"),
    [
        ("Mahalanobis", (9, -9, 9, -9, 9, -9)),
        ("relative Mahalanobis", (9, 9, 9, 9, 9, 9)),
        ("nearest neighbours", (9, -9, 9, -9, 9, -9)),
        ("ViM", (9, -9, 9, -9, 9, -9)),
    ],
)
def test_a_stranger_scores_higher_than_known_films(name: str, strange: tuple[int, ...]) -> None:
    score = virtual_logit(KNOWN, dimensions=2) if name == "ViM" else METHODS[name](KNOWN)
    assert score(np.array([strange], np.float32), np.zeros(1, np.float32))[0] > np.quantile(
        score(KNOWN.features, KNOWN.logits), 0.99
    )


@pytest.mark.parametrize("kept", [6, 3])
def test_the_served_distance_is_mahalanobis_with_one_variance_for_what_is_left_out(kept: int) -> None:
    centred = (GENERATOR.normal(size=(400, 6)) * [5, 4, 3, 1, 1, 1]).astype(np.float32)
    covariance = LedoitWolf(assume_centered=True).fit(centred.astype(np.float64)).covariance_
    directions, variances = find_spread(centred)
    if kept < 6:
        values = np.linalg.eigvalsh(covariance)[::-1]
        directions, variances = directions[:, :kept], np.append(values[:kept], values[kept:].mean()).astype(np.float32)
        basis = np.linalg.eigh(covariance)[1][:, ::-1]
        covariance = basis @ np.diag(np.append(values[:kept], [values[kept:].mean()] * (6 - kept))) @ basis.T
    strange = np.array([[1, 2, 3, 4, 5, 6], [-9, 0, 1, 0, 1, 0]], np.float32)
    expected = [mahalanobis(one, np.zeros(6), np.linalg.inv(covariance)) / np.sqrt(6) for one in strange]
    assert spread_distance(strange, directions, variances) == pytest.approx(expected, rel=1e-3)
