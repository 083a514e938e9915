"""Films with the tones of others."""

from pathlib import Path

import numpy as np
import pytest

from mlmodel.training.recipe import Recipe, change_recipe, recipe_from_dict
from mlmodel.training.tones import mix_tones, swap_tones
from mlmodel.training.trainer import Examples, disguise_films
from tests.mlmodel.batches import catch_batch


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


def test_mixed_the_tones_say_less_of_the_class() -> None:
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


def test_a_recipe_of_an_earlier_version_is_still_read() -> None:
    recipe = recipe_from_dict({"recrop": 0.4})
    assert (recipe.reoutline, recipe.retone, recipe.network.standardise) == (0.4, 0, False)


def test_a_recipe_disguises_by_what_it_names() -> None:
    given = make_films(6)
    copies = {
        name: disguise_films(given, change_recipe(Recipe(), changes))
        for name, changes in {
            "nothing": {},
            "outline": {"reoutline": 0.4},
            "tones": {"retone": 1.0},
            "sharpness": {"resharpen": 1.0},
            "all": {"reoutline": 0.4, "retone": 1.0, "resharpen": 1.0},
        }.items()
    }
    assert copies.pop("nothing") is None
    assert len({copy.tobytes() for copy in [given.films, *copies.values()] if copy is not None}) == 5


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_of_each_batch_the_share_comes_from_the_copies(share: float, tmp_path: Path) -> None:
    given = make_films(64)
    network = {"input_size": 24, "blocks": [1], "widths": [4]}
    changes = {"network": network, "retone": 1.0, "disguise": share, "mixup": 0, "batch_size": 64, "precision": "float32"}
    recipe = change_recipe(Recipe(), changes)
    trainer, seen = catch_batch(recipe, given, tmp_path)
    assert trainer.disguised is not None
    changed = (trainer.disguised != given.films).any(axis=(1, 2, 3))
    is_copy = (seen[0] == trainer.disguised).all(axis=(1, 2, 3)) & changed
    is_film = (seen[0] == given.films).all(axis=(1, 2, 3))
    assert (is_copy | is_film).all()
    assert is_copy.sum() / changed.sum() == pytest.approx(share, abs=0.2 if share == 0.5 else 0)
