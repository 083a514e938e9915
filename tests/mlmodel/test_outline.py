"""Films cropped towards the other class's outline."""

import numpy as np
from numpy.typing import NDArray

from mlmodel.training.outline import recrop_films

SIZE = 64


def make_squares(count: int) -> NDArray[np.uint8]:
    """A bright square in the middle of each film."""
    films = np.zeros((count, SIZE, SIZE, 1), np.uint8)
    films[:, 24:40, 24:40] = 200
    return films


def measure_square(film: NDArray[np.uint8]) -> tuple[float, float]:
    """Height and width of what is bright, in pixels."""
    bright = film[:, :, 0] > 100
    return float(bright.any(axis=1).sum()), float(bright.any(axis=0).sum())


def test_normal_films_are_cropped_low_and_those_with_pneumonia_narrow() -> None:
    truth = np.array([0, 1] * 8, np.float32)
    copies = recrop_films(make_squares(16), truth, limit=0.4, seed=1)
    for film, is_sick in zip(copies, truth, strict=True):
        height, width = measure_square(film)
        stretched, kept = (width, height) if is_sick else (height, width)
        assert kept == 16
        assert 16 * np.exp(0.1) - 1.5 <= stretched <= 16 * np.exp(0.4) + 1.5


def test_factors_differ_between_films_and_are_the_same_for_one_seed() -> None:
    truth = np.zeros(12, np.float32)
    first, again = (recrop_films(make_squares(12), truth, limit=0.4, seed=2) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len({measure_square(film)[0] for film in first}) > 3
