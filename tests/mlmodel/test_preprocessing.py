"""From a grey film to what the network reads."""

import numpy as np
import pytest
from PIL import Image

from mlmodel.preprocessing import prepare_film, to_uint8
from tests.mlmodel.films import draw_film, draw_uint8


def test_a_film_is_squeezed_to_a_square_of_bytes() -> None:
    prepared = prepare_film(Image.fromarray(draw_uint8(width=400, height=300)), 64)
    assert prepared.shape == (64, 64)
    assert prepared.dtype == np.uint8


def test_a_film_of_the_right_size_is_left_alone() -> None:
    film = draw_uint8(width=64, height=64)
    assert np.array_equal(prepare_film(Image.fromarray(film), 64), film)


def test_float_and_byte_films_give_the_same_to_one_step() -> None:
    film = draw_film(width=400, height=300)
    exact = prepare_film(Image.fromarray(film.astype(np.float32)), 64).astype(int)
    rounded = prepare_film(Image.fromarray(np.rint(film * 255).astype(np.uint8)), 64).astype(int)
    assert np.abs(exact - rounded).max() <= 1


def test_fine_stripes_are_averaged_instead_of_aliased() -> None:
    stripes = np.zeros((256, 256), np.uint8)
    stripes[:, ::2] = 255
    prepared = prepare_film(Image.fromarray(stripes), 64).astype(int)
    assert np.abs(prepared[:, 2:-2] - 128).max() <= 3


def test_the_middle_of_a_film_stays_in_the_middle() -> None:
    spot = np.zeros((300, 300), np.uint8)
    spot[140:160, 140:160] = 255
    rows, columns = np.nonzero(prepare_film(Image.fromarray(spot), 60) > 128)
    assert rows.mean() == pytest.approx(29.5)
    assert columns.mean() == pytest.approx(29.5)


def test_values_outside_the_range_are_clipped() -> None:
    assert to_uint8(np.array([-0.5, 0.5, 1.5], np.float32)).tolist() == [0, 128, 255]


def test_a_colour_picture_is_no_film() -> None:
    with pytest.raises(ValueError, match="Received: RGB"):
        prepare_film(Image.new("RGB", (9, 9)), 64)
