"""Films with the tones of others."""

import numpy as np

from mlmodel.training.recipe import Recipe, change_recipe
from mlmodel.training.tones import mix_tones, swap_tones
from mlmodel.training.trainer import Examples, disguise_films


def make_films(count: int) -> Examples:
    """Dark normal films, and bright ones with pneumonia."""
    generator = np.random.default_rng(4)
    truth = np.arange(count, dtype=np.float32) % 2
    films = generator.integers(0, 100, (count, 24, 24, 1)) + (truth[:, None, None, None] * 150).astype(int)
    return Examples(films.astype(np.uint8), truth)


def test_all_the_way_the_histograms_change_sides() -> None:
    given = make_films(8)
    films = swap_tones(given.films, given.truth, share=1, seed=1)
    means = films.mean(axis=(1, 2, 3))
    assert (means[given.truth == 0] > 180).all()
    assert (means[given.truth == 1] < 70).all()


def test_mixed_the_tones_no_longer_tell_the_class() -> None:
    given = make_films(200)
    means = mix_tones(given.films, given.truth, limit=1, seed=1).mean(axis=(1, 2, 3))
    apart = means[given.truth == 1].mean() - means[given.truth == 0].mean()
    assert 0.3 < apart / 150 < 0.7  # half of the way on average, and half of the films towards their own class
    some = mix_tones(given.films, given.truth, limit=0.2, seed=1).mean(axis=(1, 2, 3))
    assert np.abs(some - given.films.mean(axis=(1, 2, 3))).max() < 0.3 * 150


def test_what_is_brighter_stays_brighter() -> None:
    given = make_films(6)
    for before, after in zip(given.films, mix_tones(given.films, given.truth, limit=1, seed=2), strict=True):
        order = np.argsort(before.ravel(), kind="stable")
        assert (np.diff(after.ravel()[order].astype(int)) >= 0).all()


def test_none_of_the_way_changes_nothing_and_a_seed_repeats() -> None:
    given = make_films(6)
    np.testing.assert_array_equal(swap_tones(given.films, given.truth, share=0, seed=3), given.films)
    first, again = (mix_tones(given.films, given.truth, limit=1, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_a_recipe_disguises_by_what_it_names() -> None:
    given = make_films(6)
    copies = {
        name: disguise_films(given, change_recipe(Recipe(), changes))
        for name, changes in {
            "nothing": {},
            "outline": {"recrop": 0.4},
            "tones": {"retone": 1.0},
            "both": {"recrop": 0.4, "retone": 1.0},
        }.items()
    }
    assert copies.pop("nothing") is None
    assert len({copy.tobytes() for copy in [given.films, *copies.values()] if copy is not None}) == 4
