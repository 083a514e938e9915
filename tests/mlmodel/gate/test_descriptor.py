"""What the gate knows of a film does not depend on brightness, contrast or side, and does on its layout."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mlmodel.gate import descriptor
from mlmodel.gate.descriptor import CELLS, describe
from mlmodel.thumbnail import shrink
from tests.mlmodel.gate.material import chest_films


def layout(films: NDArray[np.uint8]) -> NDArray[np.float32]:
    return descriptor.layout(shrink(films))


def test_the_layout_is_the_thumbnail_of_film_and_mirror_image() -> None:
    film = np.zeros((1, 64, 64), np.uint8)
    film[0, :4, :4] = 200  # one cell of 16 x 16, in the upper left corner
    found = layout(film).reshape(CELLS, CELLS // 2)
    assert found[0, 0] == found.max()
    assert np.ptp(found.ravel()[1:]) == 0


@pytest.mark.parametrize("size", [16, 48, 64, 180, 224])
def test_brightness_contrast_and_side_leave_the_layout_as_it_is(size: int) -> None:
    films = chest_films(3, size)
    changed = np.rint(films[:, :, ::-1] * 0.6 + 40).astype(np.uint8)
    assert layout(films).shape == (3, CELLS * CELLS // 2)
    assert np.abs(layout(films) - layout(changed)).max() < 0.05


def test_an_inverted_or_turned_film_has_another_layout() -> None:
    film = chest_films(1)
    assert np.allclose(layout(255 - film), -layout(film), atol=1e-4)
    for turned in (np.rot90(film, axes=(1, 2)), film[:, ::-1]):
        assert np.corrcoef(layout(turned).ravel(), layout(film).ravel())[0, 1] < 0.6


def test_features_come_first_as_square_roots() -> None:
    described = describe(shrink(chest_films(2)), np.array([[4.0, 9.0], [0.0, -1e-6]], np.float32))
    assert described[:, :2].tolist() == [[2, 3], [0, 0]]
    assert described.dtype == np.float32
