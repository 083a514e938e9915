"""Negatives are what they are called, the same for a seed, and of every code that the gate can give."""

import numpy as np
import pytest

from mlmodel.codes import MESSAGES, OVERRIDABLE
from mlmodel.gate import drawing, negatives
from tests.mlmodel.gate.material import chest_films

FILMS = chest_films(6)


def test_every_kind_is_drawn_at_the_films_size_with_a_code_of_its_own_sentence() -> None:
    made = list(negatives.make_negatives(FILMS, per_kind=2, seed=1))
    assert len(made) == len(negatives.SPOILT) + len(drawing.DRAWINGS)
    for kind in made:
        assert kind.films.shape == (2, 64, 64), kind.kind
        assert kind.films.dtype == np.uint8
        assert kind.code in MESSAGES.keys() & OVERRIDABLE
        assert kind.films.std() > 3 or kind.kind == "blurred"


def test_a_seed_draws_the_same_negatives_and_another_one_others() -> None:
    first, again, other = (
        np.concatenate([kind.films for kind in negatives.make_negatives(FILMS, per_kind=1, seed=seed)]) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert all(not np.array_equal(mine, theirs) for mine, theirs in zip(first[12:], other[12:], strict=True))


@pytest.mark.parametrize("name", sorted(negatives.SPOILT))
def test_a_spoilt_film_is_no_film_any_more(name: str) -> None:
    _, spoil = negatives.SPOILT[name]
    for seed in range(5):
        spoilt = spoil(FILMS[0], FILMS[1], np.random.default_rng(seed))
        assert np.corrcoef(spoilt.ravel(), FILMS[0].ravel())[0, 1] < 0.99
    assert np.array_equal(FILMS[0], chest_films(6)[0])  # the film itself is left alone


def test_turned_and_inverted_films_are_the_films_turned_and_inverted() -> None:
    generator = np.random.default_rng(0)
    turned = negatives.turn_quarter(FILMS[0], FILMS[0], generator)
    assert any(np.array_equal(np.rot90(turned, times), FILMS[0]) for times in (1, 3))
    assert np.array_equal(255 - negatives.invert(FILMS[0], FILMS[0], generator), FILMS[0])


def test_a_varied_film_is_still_that_film() -> None:
    varied = negatives.vary_films(FILMS, seed=3)
    assert varied.shape == FILMS.shape
    for one, film in zip(varied, FILMS, strict=True):
        both = [np.corrcoef(one.ravel(), side.ravel())[0, 1] for side in (film, film[:, ::-1])]
        assert 0.6 < max(both) < 0.99999


def test_perspective_lays_the_films_corners_where_they_are_asked_for() -> None:
    from PIL import Image

    corners = np.array([[10, 5], [55, 12], [50, 60], [8, 50]], float)
    laid = Image.new("L", (64, 64), 255).transform(
        (64, 64), Image.Transform.PERSPECTIVE, negatives._perspective(corners, 64), Image.Resampling.NEAREST
    )
    rows, columns = np.nonzero(np.asarray(laid))
    assert (rows.min(), rows.max()) == pytest.approx((5, 60), abs=2)
    assert (columns.min(), columns.max()) == pytest.approx((8, 55), abs=2)
