"""The heatmap lies where the network looked, and stays clear where there was nothing to see."""

from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mlmodel.heatmap import CELL, draw_heatmap, upsample

SIZE = 14 * CELL


def alpha(png: bytes) -> NDArray[np.uint8]:
    picture = Image.open(BytesIO(png))
    assert (picture.mode, picture.size) == ("P", (SIZE, SIZE))
    return np.asarray(picture.convert("RGBA"))[:, :, 3]


def spot(row: int, column: int) -> NDArray[np.float32]:
    activation = np.zeros((14, 14), np.float32)
    activation[row, column] = 1
    return activation


def test_a_spot_is_drawn_where_its_cell_looked() -> None:
    rows, columns = np.nonzero(upsample(spot(7, 4)) > 0.5 * upsample(spot(7, 4)).max())
    # Symmetric padding: row 7 of 14 looks at the film's middle; columns are averaged with the mirror image
    assert rows.mean() == pytest.approx(7 / 14 * SIZE - 0.5, abs=1)
    assert columns.mean() == pytest.approx(4.5 / 14 * SIZE - 0.5, abs=1)


def test_strength_is_opacity() -> None:
    drawn = alpha(draw_heatmap(spot(7, 4), scale=0.01))
    assert drawn.max() == pytest.approx(217, abs=1)
    assert drawn[0, -1] == 0


def test_weak_activations_stay_weak() -> None:
    assert alpha(draw_heatmap(spot(7, 4) * 0.01, scale=1.0)).max() <= 4


def test_what_speaks_against_pneumonia_is_left_out() -> None:
    assert alpha(draw_heatmap(-spot(7, 4), scale=0.01)).max() == 0


def test_an_empty_map_is_drawn_clear() -> None:
    assert alpha(draw_heatmap(np.zeros((14, 14), np.float32), scale=0.0)).max() == 0


def test_the_picture_is_smooth() -> None:
    drawn = alpha(draw_heatmap(spot(7, 4), scale=0.01)).astype(int)
    assert max(np.abs(np.diff(drawn, axis=0)).max(), np.abs(np.diff(drawn, axis=1)).max()) < 30
