"""A thumbnail's cells are the means of their pixels, also where the film's side is no multiple of theirs."""

from itertools import pairwise

import numpy as np
import pytest

from mlmodel.thumbnail import SIDE, shrink


@pytest.mark.parametrize("size", [160, 224, 50, 32])
def test_a_cell_is_the_mean_of_its_pixels(size: int) -> None:
    films = np.random.default_rng(size).integers(0, 256, (3, size, size), np.uint8)
    edges = np.arange(SIDE + 1) * size // SIDE
    rows = [films[:, top:bottom] for top, bottom in pairwise(edges)]
    means = [[row[:, :, left:right].mean(axis=(1, 2)) for left, right in pairwise(edges)] for row in rows]
    assert shrink(films) == pytest.approx(np.moveaxis(np.array(means), 2, 0), abs=1e-4)


def test_a_film_with_fewer_pixels_than_cells_is_an_error() -> None:
    with pytest.raises(ValueError, match="Received: 31"):
        shrink(np.zeros((1, 31, 31), np.uint8))
