"""Films cropped to other outlines."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mlmodel.training.outline import APART, change_outlines

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


def test_the_classes_meet_half_way() -> None:
    truth = np.array([0, 1] * 4, np.float32)
    for film, is_sick in zip(change_outlines(make_squares(8), truth, limit=0, seed=1), truth, strict=True):
        height, width = measure_square(film)
        stretched, kept = (width, height) if is_sick else (height, width)
        assert kept == 16
        assert stretched == pytest.approx(16 * np.exp(APART / 2), abs=1)


def test_each_film_has_an_outline_of_its_own_around_there() -> None:
    truth = np.array([0, 1], np.float32).repeat(60)
    squares = [measure_square(film) for film in change_outlines(make_squares(120), truth, limit=0.4, seed=1)]
    wider = np.array([np.log(height / width) for height, width in squares])
    for label, middle in ((0, APART / 2), (1, -APART / 2)):
        of_class = wider[truth == label]
        assert of_class.min() < middle - 0.25
        assert of_class.max() > middle + 0.25
        assert np.abs(of_class - middle).max() < 0.4 + 0.1  # a square has whole pixels


def test_factors_differ_between_films_and_are_the_same_for_one_seed() -> None:
    truth = np.zeros(12, np.float32)
    first, again = (change_outlines(make_squares(12), truth, limit=0.4, seed=2) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len({measure_square(film)[0] for film in first}) > 3
