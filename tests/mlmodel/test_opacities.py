"""Opacities drawn into normal films: in a lung, brighter than it was, and counted as pneumonia."""

from pathlib import Path

import numpy as np
import pytest

from mlmodel.lungs import draw_field, find_lungs
from mlmodel.network import NetworkConfig
from mlmodel.thumbnail import shrink
from mlmodel.training.opacities import COPIES, EDGE, REACH, TISSUE, copy_with_opacities, draw_opacities
from mlmodel.training.recipe import Recipe, change_recipe
from mlmodel.training.trainer import Examples
from tests.mlmodel.batches import catch_batch
from tests.mlmodel.films import draw_film


def films(count: int, size: int = 160) -> np.ndarray:
    drawn = [draw_film(seed, size, size) for seed in range(count)]
    return np.stack([np.rint(film * 255).clip(0, 255) for film in drawn]).astype(np.uint8)[..., None]


def test_an_opacity_fills_one_lung_with_what_is_as_bright_as_tissue() -> None:
    given = films(12)
    drawn = draw_opacities(given, np.random.default_rng(4))
    assert drawn.shape == given.shape
    added = drawn[..., 0].astype(int) - given[..., 0]
    assert added.min() >= 0
    assert (added.max(axis=(1, 2)) > 12).all()
    for box, film, change in zip(find_lungs(shrink(given[..., 0])), given[..., 0], added, strict=True):
        lungs = draw_field(box, 160)
        outside = draw_field(box, 160, grow=REACH + 5 * EDGE) == 0
        assert change[outside].max() <= 2
        assert (film + change)[change > 0].max() <= np.quantile(film[lungs > 0], TISSUE) + 1
        right = np.arange(160) / 160 > box.x
        share = change[:, right].sum() / change.sum()
        assert min(share, 1 - share) < 0.05


def test_a_film_without_air_stays_as_it_is() -> None:
    blank = np.full((1, 64, 64, 1), 90, np.uint8)
    assert (draw_opacities(blank, np.random.default_rng(1)) == blank).all()


def test_the_same_seed_draws_the_same_and_each_copy_differs() -> None:
    given, truth = films(4), np.array([0, 1, 0, 1], np.float32)
    first, again = (copy_with_opacities([given], truth, seed=3) for _ in range(2))
    assert (first.films == again.films).all()
    assert first.films.shape == (COPIES, 2, 160, 160, 1)
    assert first.place[[0, 2]].tolist() == [0, 1]
    assert all((first.films[0] != copy).any() for copy in first.films[1:])


def test_copies_are_drawn_into_each_variant_in_turn() -> None:
    given, truth = films(2), np.zeros(2, np.float32)
    copies = copy_with_opacities([given, np.zeros_like(given)], truth, seed=3).films
    borders = copies[:, :, 0].reshape(COPIES, -1)  # the first row of each film lies in no lung
    assert [bool(border.any()) for border in borders] == [bool(given[:, 0].any()), False] * (COPIES // 2)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 3)])
def test_normal_films_of_a_batch_become_pneumonia_by_their_share(share: float, expected: int) -> None:
    given, truth = films(5), np.array([1, 0, 0, 1, 0], np.float32)
    copies, picked = copy_with_opacities([given], truth, seed=3), np.array([4, 0, 2, 1])
    batch, labels = copies.put_in(given[picked], truth[picked], picked, share=share, generator=np.random.default_rng(1))
    changed = (batch != given[picked]).any(axis=(1, 2, 3))
    assert changed.sum() == expected
    assert (labels == np.where(changed, 1, truth[picked])).all()
    assert not changed[1]
    for row, film in zip(picked[changed], batch[changed], strict=True):
        assert any((film == copy[copies.place[row]]).all() for copy in copies.films)
    assert (truth == [1, 0, 0, 1, 0]).all()


def test_a_film_without_air_stays_normal() -> None:
    given, truth = films(3), np.zeros(3, np.float32)
    given[1] = 90
    copies = copy_with_opacities([given], truth, seed=3)
    assert copies.differs.tolist() == [[True, False, True]] * COPIES
    batch, labels = copies.put_in(given, truth, np.arange(3), share=1.0, generator=np.random.default_rng(1))
    assert labels.tolist() == [1, 0, 1]
    assert (batch[1] == given[1]).all()


def test_training_sees_them(tmp_path: Path) -> None:
    network = NetworkConfig(input_size=64, blocks=(1,), widths=(4,)).as_dict()
    recipe = change_recipe(
        Recipe(), {"network": network, "opacify": 1.0, "mixup": 0, "batch_size": 8, "precision": "float32", "epochs": 1}
    )
    examples = Examples(films(8, 64), np.array([0, 0, 0, 1] * 2, np.float32))
    trainer, (shown, truth, weights) = catch_batch(recipe, examples, tmp_path)
    assert (truth == 1).all()
    assert (weights == trainer.weights[1]).all()
    assert (shown != examples.films).any(axis=(1, 2, 3)).tolist() == [True, True, True, False] * 2
