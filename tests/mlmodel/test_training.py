"""Recipe, augmentation, checkpoint and loop."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from mlmodel.network import NetworkConfig
from mlmodel.training.augmentation import Augment
from mlmodel.training.checkpoint import read_checkpoint, save_checkpoint
from mlmodel.training.dataset import DataError
from mlmodel.training.options import RunOptions
from mlmodel.training.progress import Progress
from mlmodel.training.recipe import AugmentationConfig, Recipe, read_recipe, recipe_from_dict
from mlmodel.training.trainer import Examples, StoppedError, Trainer, make_optimizer, weigh_classes

pytestmark = pytest.mark.model
TINY = Recipe(
    network=NetworkConfig(input_size=32, blocks=(1, 1), widths=(6, 8), dropout=0.0),
    augmentation=AugmentationConfig(rotation=2, shift=0.02, zoom=0.02, brightness=0.02, contrast=0.05, gamma=0.05),
    epochs=2,
    batch_size=8,
    learning_rate=3e-3,
    averaging=0.5,
    precision="float32",
)


def examples(count: int = 40, seed: int = 0) -> Examples:
    """Bright films are the diseased ones."""
    generator = np.random.default_rng(seed)
    truth = (np.arange(count) % 2).astype(np.float32)
    films = generator.normal(90 + 70 * truth[:, None, None, None], 20, (count, 32, 32, 1))
    return Examples(np.clip(films, 0, 255).astype(np.uint8), truth)


def trainer(folder: Path, recipe: Recipe = TINY, fingerprint: str = "one") -> Trainer:
    return Trainer(
        recipe,
        examples(),
        examples(20, seed=1),
        options=RunOptions(checkpoint_seconds=0),
        checkpoint=folder / "checkpoint.npz",
        progress=Progress(quiet=True),
        fingerprint=fingerprint,
    )


def test_training_learns_what_can_be_learned(tmp_path: Path) -> None:
    run = trainer(tmp_path, replace(TINY, epochs=6))
    run.fit()
    assert run.best > 0.95
    assert run.history[-1]["loss"] < run.history[0]["loss"]


def test_the_same_seed_trains_the_same_network(tmp_path: Path) -> None:
    first, second = (trainer(tmp_path / name).fit().get_weights() for name in "ab")
    for one, other in zip(first, second, strict=True):
        assert np.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("stop_after", [2, 7])
def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(
    tmp_path: Path, stop_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trainer(tmp_path / "whole").fit().get_weights()
    run, done = trainer(tmp_path / "stopped"), 0
    run_batch = Trainer._run_batch

    def stopping(self: Trainer, picked: NDArray[np.int64]) -> dict[str, float]:
        nonlocal done
        done += 1
        self._is_stopped = done == stop_after
        return run_batch(self, picked)

    monkeypatch.setattr(Trainer, "_run_batch", stopping)
    with pytest.raises(StoppedError):
        run.fit()
    resumed = trainer(tmp_path / "stopped")
    weights = resumed.fit().get_weights()
    assert len(resumed.history) == 2
    for one, other in zip(whole, weights, strict=True):
        assert np.allclose(one, other, atol=1e-4)


def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path) -> None:
    trainer(tmp_path).fit()
    with pytest.raises(DataError, match="other data"):
        trainer(tmp_path, fingerprint="two").fit()


def test_training_stops_early_when_validation_gets_no_better(tmp_path: Path) -> None:
    run = trainer(tmp_path, replace(TINY, epochs=30, learning_rate=1e-9, patience=2))
    run.fit()
    assert len(run.history) <= 5


def test_a_loss_that_is_no_number_ends_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer(tmp_path)
    monkeypatch.setattr(keras.Model, "train_on_batch", lambda *given, **named: {"loss": float("nan")})
    with pytest.raises(DataError, match="no number"):
        run.fit()


def test_each_class_counts_half() -> None:
    truth = np.array([1, 1, 1, 0], np.float32)
    weights = weigh_classes(truth)
    assert weights[truth.astype(int)][truth == 1].sum() == pytest.approx(2)
    assert weights[0] == pytest.approx(2)


def test_the_cosine_schedule_rises_to_its_peak_and_falls_to_nothing() -> None:
    rate = make_optimizer(replace(TINY, epochs=10), steps=10)._learning_rate
    values = [float(rate(step)) for step in range(101)]
    assert max(values) == pytest.approx(3e-3, rel=0.01)
    assert values.index(max(values)) <= 11
    assert values[-1] < 1e-5


def test_the_reference_schedule_falls_in_steps_from_its_first_rate() -> None:
    recipe = replace(read_recipe("reference"), decay_steps=10, decay_rate=0.5)
    rate = make_optimizer(recipe, steps=10)._learning_rate
    assert [float(rate(step)) for step in (0, 9, 10, 20)] == pytest.approx([1e-5, 1e-5, 5e-6, 2.5e-6])


@pytest.mark.parametrize("name", ["default", "reference"])
def test_the_configurations_are_readable_files(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe_from_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"epoch": 3}',
        '{"epochs": 0}',
        '{"network": {"depth": 3}}',
        '{"augmentation": {"spin": 1}}',
        '{"schedule": "up"}',
        '{"epochs": "three"}',
        '{"network": 3}',
        '{"augmentation": [1]}',
        '{"augmentation": {"rotation": "much"}}',
        '{"learning_rate": NaN}',
        '{"learning_rate": -1}',
        '{"precision": "float8"}',
        '{"network": {"input_size": 100000}}',
        '{"network": {"blocks": [0], "widths": [8]}}',
        '{"network": {"blocks": 3, "widths": 8}}',
        '{"seed": -1}',
    ],
)
def test_a_bad_configuration_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(ValueError, match=r".") as caught:
        read_recipe(str(tmp_path / "bad.json"))
    assert "\n" not in str(caught.value)


def augment(config: AugmentationConfig, films: NDArray[Any], training: bool = True) -> NDArray[np.float32]:
    return np.asarray(Augment(config, seed=3)(films, training=training))


STILL = AugmentationConfig(
    rotation=0, shift=0, zoom=0, stretch=0, flip=False, brightness=0, contrast=0, gamma=0, noise=0, blur=0
)


def test_augmentation_leaves_films_alone_outside_training() -> None:
    films = examples(4).films
    assert np.array_equal(augment(AugmentationConfig(), films, training=False), films)


def test_augmentation_of_no_strength_changes_nothing() -> None:
    films = examples(4).films
    assert np.abs(augment(STILL, films) - films).max() < 0.5


def test_every_film_of_a_batch_is_changed_in_its_own_way() -> None:
    films = np.repeat(examples(1).films, 6, axis=0)
    changed = augment(AugmentationConfig(), films)
    assert len({one.tobytes() for one in changed}) == 6
    assert changed.min() >= 0
    assert changed.max() <= 255


def test_a_flip_mirrors_left_and_right_only() -> None:
    films = np.repeat(examples(1).films, 16, axis=0).astype(np.float32)
    changed = augment(replace(STILL, flip=True), films)
    kinds = {np.abs(one - films[0]).max() < 1 or 2 * (np.abs(one - films[0, :, ::-1]).max() < 1) for one in changed}
    assert kinds == {1, 2}


def test_a_rotation_turns_about_the_middle() -> None:
    film = np.zeros((8, 33, 33, 1), np.float32)
    film[:, 15:18, 15:18] = 255
    turned = augment(replace(STILL, rotation=30), film)
    rows, columns = np.mgrid[0:33, 0:33]
    for one in turned[..., 0]:
        assert (one * rows).sum() / one.sum() == pytest.approx(16, abs=0.3)
        assert (one * columns).sum() / one.sum() == pytest.approx(16, abs=0.3)


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    arrays: list[NDArray[Any]] = [np.arange(6).reshape(2, 3), np.array(3.5, np.float32)]
    for epoch in (1, 2):
        save_checkpoint(tmp_path / "run.npz", {"epoch": epoch}, {"model": arrays, "best": arrays[:1]})
    state, groups = read_checkpoint(tmp_path / "run.npz")
    assert state == {"epoch": 2}
    assert all(np.array_equal(one, other) for one, other in zip(groups["model"], arrays, strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


def test_a_broken_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"run\.npz"):
        read_checkpoint(tmp_path / "run.npz")
