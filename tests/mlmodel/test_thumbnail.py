"""A thumbnail's cells are the means of what they cover, also where the film's side is no multiple of theirs."""

from itertools import pairwise

import numpy as np
import pytest

from mlmodel.thumbnail import SIDE, shrink


@pytest.mark.parametrize("size", [160, 224, 32])
def test_a_cell_is_the_mean_of_its_pixels(size: int) -> None:
    films = np.random.default_rng(size).integers(0, 256, (3, size, size), np.uint8)
    edges = np.arange(SIDE + 1) * size // SIDE
    rows = [films[:, top:bottom] for top, bottom in pairwise(edges)]
    means = [[row[:, :, left:right].mean(axis=(1, 2)) for left, right in pairwise(edges)] for row in rows]
    assert shrink(films) == pytest.approx(np.moveaxis(np.array(means), 2, 0), abs=1e-4)


@pytest.mark.parametrize("size", [16, 50, 180])
def test_a_pixel_on_an_edge_is_shared_out(size: int) -> None:
    films = np.random.default_rng(size).integers(0, 256, (2, size, size), np.uint8)
    fine = films.repeat(SIDE, axis=1).repeat(SIDE, axis=2).reshape(2, SIDE, size, SIDE, size)  # of pixels that fit the cells
    assert shrink(films) == pytest.approx(fine.mean(axis=(2, 4)), abs=1e-3)
    assert shrink(films[:, :, ::-1]) == pytest.approx(shrink(films)[:, :, ::-1], abs=1e-3)
