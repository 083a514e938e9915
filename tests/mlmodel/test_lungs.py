"""The lung field is found where the lungs are, and the share of heat in it is what a hand would count."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from diagnostics import phantom
from mlmodel.heatmap import upsample
from mlmodel.lungs import (
    HEIGHTS,
    MARGIN,
    MIDDLE,
    PRIOR,
    REACH,
    SPREAD,
    STEP,
    USUAL,
    WIDTHS,
    Box,
    choose_least_share,
    draw_field,
    find_lungs,
    shares_in_lung,
)
from mlmodel.thumbnail import SIDE, shrink


def box_of(film: NDArray[np.uint8]) -> Box:
    return find_lungs(shrink(film[None]))[0]


def share_in_lung(film: NDArray[np.uint8], activation: NDArray[np.float32]) -> float | None:
    return shares_in_lung(shrink(film[None]), activation[None])[0]


def draw_chest(box: Box, size: int = 224) -> NDArray[np.uint8]:
    """Dark lungs in a bright body on a dark ground, blurred and grained."""
    film = np.full((size, size), 25.0)
    columns = (np.arange(size) + 0.5) / size
    film[:, np.abs(columns - box.x) < box.width * 0.62] = 190
    film[draw_field(box, size) > 0] = 80
    film = ndimage.gaussian_filter(film, size / 60) + np.random.default_rng(1).normal(0, 4, (size, size))
    return np.clip(film, 0, 255).astype(np.uint8)


def phantom_film(seed: int, opacity: phantom.Opacity | None = None) -> NDArray[np.uint8]:
    from PIL import Image

    drawn = Image.fromarray(phantom.draw_film(seed=seed, opacity=opacity, width=450, height=512))
    return np.rint(np.asarray(drawn.resize((224, 224))) * 255).astype(np.uint8)


def spot(x: float, y: float) -> NDArray[np.float32]:
    """(14, 14): heat in the cell over a place given in sides of the film."""
    activation = np.zeros((14, 14), np.float32)
    activation[round(y * 14), round(x * 14 - 0.5)] = 1
    return activation


@pytest.mark.parametrize(
    "box",
    [Box(0.5, 0.5, 0.7, 0.7), Box(0.45, 0.42, 0.66, 0.6), Box(0.55, 0.55, 0.78, 0.76), Box(0.5, 0.45, 0.9, 0.82)],
)
def test_drawn_lungs_are_found(box: Box) -> None:
    found = box_of(draw_chest(box))
    assert np.allclose(found, box, atol=0.09)
    drawn, wanted = draw_field(found, 224), draw_field(box, 224)
    assert 2 * (drawn * wanted).sum() / (drawn.sum() + wanted.sum()) > 0.8  # Dice


@pytest.mark.parametrize("seed", range(3))
def test_an_opacity_does_not_drive_the_field_away(seed: int) -> None:
    clear, hidden = (box_of(phantom_film(seed, opacity)) for opacity in (None, phantom.Opacity(strength=1.0)))
    assert np.allclose(clear, hidden, atol=0.13)


@pytest.mark.parametrize("seed", range(3))
def test_the_field_lies_over_what_is_dark_between_the_ribs(seed: int) -> None:
    film = phantom_film(seed)
    box = box_of(film)
    field = draw_field(box, 224) > 0
    rows = slice(int((box.y - box.height / 2) * 224), int((box.y + box.height / 2) * 224))
    between = ~field[rows, int((box.x - 0.03) * 224) : int((box.x + 0.03) * 224)]
    assert film[field].mean() < film[rows, int((box.x - 0.03) * 224) : int((box.x + 0.03) * 224)][between].mean() - 40


def test_brightness_and_contrast_do_not_matter() -> None:
    film = phantom_film(1)
    assert box_of(film) == box_of(np.rint(film * 0.5 + 60).astype(np.uint8))


def test_heat_in_a_lung_counts_and_heat_in_a_corner_does_not() -> None:
    film = draw_chest(Box(0.5, 0.5, 0.7, 0.7))
    inside, outside = share_in_lung(film, spot(0.32, 0.5)), share_in_lung(film, spot(0.93, 0.93))
    assert inside is not None
    assert outside is not None
    assert inside > 0.85
    assert outside < 0.05
    half = share_in_lung(film, spot(0.32, 0.5) + spot(0.93, 0.93))
    assert half == pytest.approx((inside + outside) / 2, abs=0.1)


def test_what_speaks_against_pneumonia_is_no_heat() -> None:
    film = draw_chest(Box(0.5, 0.5, 0.7, 0.7))
    assert share_in_lung(film, -spot(0.32, 0.5)) is None
    assert share_in_lung(film, spot(0.32, 0.5) - 5 * spot(0.9, 0.9)) == share_in_lung(film, spot(0.32, 0.5))


def test_the_limit_is_the_lowest_hundredth_and_none_where_there_are_few() -> None:
    film = draw_chest(Box(0.5, 0.5, 0.7, 0.7))
    maps = [spot(0.32, 0.5)] * 199 + [spot(0.93, 0.93)]
    limit = choose_least_share(shrink(np.stack([film] * 200)), np.stack(maps))
    assert share_in_lung(film, spot(0.93, 0.93)) < limit <= share_in_lung(film, spot(0.32, 0.5))  # type: ignore[operator]
    assert choose_least_share(shrink(np.stack([film] * 20)), np.stack(maps[:20])) == 0.0


def test_many_films_at_once_get_the_same_as_each_alone() -> None:
    films = np.stack([phantom_film(seed, phantom.Opacity(strength=1.0)) for seed in range(5)])
    thumbnails = shrink(films)
    maps = np.random.default_rng(1).normal(0, 1, (5, 14, 14)).astype(np.float32)
    alone = [share_in_lung(film, activation) for film, activation in zip(films, maps, strict=True)]
    assert shares_in_lung(thumbnails, maps) == pytest.approx(alone, abs=1e-6)
    assert shares_in_lung(thumbnails[:0], maps[:0]) == []


def test_the_share_is_that_of_the_picture_that_is_drawn() -> None:
    film = draw_chest(Box(0.5, 0.5, 0.7, 0.7))
    activation = np.random.default_rng(2).normal(0, 1, (10, 10)).astype(np.float32)
    drawn = upsample(np.maximum(activation, 0))
    field = draw_field(box_of(film), len(drawn), grow=0.03)
    assert share_in_lung(film, activation) == pytest.approx(float((drawn * field).sum() / drawn.sum()), abs=1e-5)


def test_the_lungs_are_where_a_drawn_pair_correlates_best() -> None:
    """Every pair drawn and correlated in its window, one after the other, as the search's fast sums should have it."""
    film = phantom_film(2, phantom.Opacity(strength=1.0))
    thumbnail, points = shrink(film[None])[0] / 255, (np.arange(SIDE) + 0.5) / SIDE

    def score(box: Box) -> float:
        rows = np.abs(points - box.y) <= (0.5 + MARGIN) * box.height
        columns = np.abs(points - box.x) <= (0.5 + MARGIN / 2) * box.width
        window = np.ix_(rows, columns)
        correlation = np.corrcoef(-thumbnail[window].ravel(), draw_field(box, SIDE)[window].ravel())[0, 1]
        return float(correlation) - PRIOR * float((((np.array(box) - USUAL) / SPREAD) ** 2).sum())

    places = [step / SIDE for step in range(-REACH, REACH + 1, STEP)]
    boxes = [
        Box(MIDDLE[0] + x, MIDDLE[1] + y, width, height)
        for height in HEIGHTS
        for width in WIDTHS
        for x in places
        for y in places
    ]
    best = max(boxes, key=score)
    assert box_of(film) == pytest.approx(best)
