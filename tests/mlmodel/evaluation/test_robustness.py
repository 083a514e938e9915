"""Whether labels stay when films are changed."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mlmodel.evaluation.robustness import CHANGES, measure_robustness

SIZE = 40
PATIENTS = [f"p{index // 2}" for index in range(12)]


def make_films() -> NDArray[np.uint8]:
    generator = np.random.default_rng(0)
    films = generator.integers(0, 60, (12, SIZE, SIZE, 1), np.uint8)
    films[::2] += 120
    return films


def brightness(films: NDArray[np.uint8]) -> NDArray[np.float64]:
    return films.mean(axis=(1, 2, 3)) / 255


def left_half(films: NDArray[np.uint8]) -> NDArray[np.float64]:
    return films[:, :, : SIZE // 2].mean(axis=(1, 2, 3)) / 255


def test_a_label_that_no_change_moves_stays_everywhere() -> None:
    films = make_films()
    found = measure_robustness(brightness, films, brightness(films), PATIENTS, threshold=0.3, seed=1)
    assert set(found) == set(CHANGES)
    # Six patients without an exception: half of them could have one, at a chance of 1 in 40
    assert all(share == {"value": 1.0, "low": pytest.approx(0.541, abs=1e-3), "high": 1.0} for share in found.values())


def test_a_label_that_hangs_on_one_side_falls_with_the_mirror_image() -> None:
    films = make_films()
    films[:6, :, : SIZE // 2] = 0
    films[:6, :, SIZE // 2 :] = 200
    found = measure_robustness(left_half, films, left_half(films), PATIENTS, threshold=0.3, seed=1)
    assert found["mirrored"]["value"] == 0.5
    assert found["mirrored"]["low"] < 0.5 < found["mirrored"]["high"]  # type: ignore[operator]
    assert found["JPEG quality 75"]["value"] == 1.0


def test_a_label_at_the_threshold_falls_with_the_brightness() -> None:
    films = np.full((12, SIZE, SIZE, 1), 100, np.uint8)
    found = measure_robustness(brightness, films, brightness(films), PATIENTS, threshold=0.38, seed=1)
    assert (found["10 % darker"]["value"], found["10 % brighter"]["value"]) == (0.0, 1.0)


def test_crops_keep_the_middle_and_the_size() -> None:
    from PIL import Image

    film = np.zeros((SIZE, SIZE), np.uint8)
    film[15:25, 15:25] = 255
    wider = np.asarray(CHANGES["cropped to a wider outline"](Image.fromarray(film)))
    assert wider.shape == film.shape
    assert (wider > 128).any(axis=0).sum() == 10
    assert (wider > 128).any(axis=1).sum() == 12
