"""What tells the classes apart without showing a lung, and films in which it says less."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from mlmodel.training.habits import CONTRARY, describe_habits, find_contrary
from mlmodel.training.sharpness import mix_sharpness
from mlmodel.training.trainer import Examples

SHARPNESS = 3  # column of `describe_habits`: over the deviation


def make_films(count: int, size: int = 48) -> Examples:
    """Noise, which is smooth where there is pneumonia, though not in each to the same degree."""
    generator = np.random.default_rng(6)
    truth = np.arange(count, dtype=np.float32) % 2
    films = np.empty((count, size, size, 1), np.uint8)
    for index, sick in enumerate(truth):
        noise = generator.normal(size=(size, size))
        share = (0.75 if sick else 0.25) + generator.uniform(-0.3, 0.3)
        smooth = share * np.roll(noise, 1, axis=0) + (1 - share) * noise
        films[index, :, :, 0] = np.clip(128 + 40 * (smooth + np.roll(smooth, 1, axis=1) * share), 0, 255)
    return Examples(films, truth)


def make_bright_films(count: int) -> Examples:
    """Even films, which are brighter where there is pneumonia, though not all."""
    generator = np.random.default_rng(count)
    truth = np.arange(count, dtype=np.float32) % 2
    films = np.full((count, 16, 16, 1), generator.normal(120 + 20 * truth, 15)[:, None, None, None])
    return Examples(films.astype(np.uint8), truth)


def tell_apart(films: NDArray[np.uint8], truth: NDArray[np.float32]) -> float:
    return abs(float(roc_auc_score(truth, describe_habits(films)[:, SHARPNESS])) - 0.5) + 0.5


def test_mixed_the_sharpness_says_less_of_the_class() -> None:
    given = make_films(120)
    mixed = mix_sharpness(given.films, given.truth, limit=1, seed=1)
    assert tell_apart(given.films, given.truth) > tell_apart(mixed, given.truth) + 0.05


def test_what_is_large_stays_and_a_seed_repeats() -> None:
    given = make_films(10)
    first, again = (mix_sharpness(given.films, given.truth, limit=1, seed=2) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (first != given.films).any(axis=(1, 2, 3)).mean() > 0.7  # one may have been given its own
    before, after = (films.reshape(10, 4, 12, 4, 12).mean(axis=(2, 4)) for films in (given.films, first))
    np.testing.assert_allclose(after, before, atol=2)
    unchanged = mix_sharpness(given.films, given.truth, limit=0, seed=2)
    assert np.abs(unchanged.astype(int) - given.films).max() <= 1


def test_contrary_films_have_the_habits_of_the_other_class() -> None:
    known, given = make_bright_films(300), make_bright_films(90)
    chosen = find_contrary(known.films, known.truth, given.films, given.truth, seed=1)
    assert chosen.mean() == pytest.approx(CONTRARY, abs=0.05)
    brightness = given.films.mean(axis=(1, 2, 3))
    assert roc_auc_score(given.truth, brightness) > 0.7
    assert roc_auc_score(given.truth[chosen], brightness[chosen]) < 0.5
