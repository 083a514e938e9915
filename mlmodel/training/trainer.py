"""The training loop: batches from memory, averaged weights, checkpoints that a stopped run goes on from."""

import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mlmodel.network import build_network
from mlmodel.pretrained import load_folded_weights
from mlmodel.training.augmentation import Augment
from mlmodel.training.checkpoint import read_checkpoint, save_checkpoint
from mlmodel.training.dataset import DataError
from mlmodel.training.measures import auc
from mlmodel.training.progress import Progress
from mlmodel.training.recipe import Recipe


class StoppedError(Exception):
    """Training was asked to stop and has saved what it had."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Films (count, size, size, 1) uint8, truth (count,) 0 or 1."""

    films: NDArray[np.uint8]
    truth: NDArray[np.float32]


class Trainer:
    """One run. `fit` returns the network of the best epoch, with averaged weights."""

    def __init__(
        self, recipe: Recipe, train: Examples, validate: Examples, *, checkpoint: Path, progress: Progress, fingerprint: str
    ) -> None:
        keras.utils.set_random_seed(recipe.seed)
        self.recipe, self.train, self.validate = recipe, train, validate
        self.checkpoint, self.progress, self.fingerprint = checkpoint, progress, fingerprint
        self.network = build_network(recipe.network, dtype=recipe.precision)
        self.steps = math.ceil(len(train.truth) / recipe.batch_size)
        self.weights = weigh_classes(train.truth) if recipe.class_weights else np.ones(2, np.float32)
        self.history: list[dict[str, float]] = []
        self.epoch, self.step, self.best = 0, 0, -1.0
        self._is_stopped = False

    def start_from(self, weights: dict[str, NDArray[np.float32]]) -> int:
        """Copy pretrained convolutions; returns how many. Raises `ValueError` where they do not fit."""
        return load_folded_weights(self.network, weights)

    def fit(self) -> keras.Model:
        """Train to the last epoch, or until validation has not improved for `patience` epochs. Raises `StoppedError` on
        SIGTERM."""
        self._compile()
        if self.checkpoint.exists():
            self._restore()
        with self._stops_on_signals():
            while self.epoch < self.recipe.epochs and not self._is_stale():
                self._run_epoch()
        self._assign(self.network.variables, self.best_weights)
        return self.network

    def _compile(self) -> None:
        film = keras.Input(self.network.input_shape[1:], dtype="uint8", name="raw_film")
        augmented = Augment(self.recipe.augmentation, seed=self.recipe.seed, name="augment")(film)
        self.model = keras.Model(film, self.network(augmented), name="training")
        self.model.compile(
            optimizer=make_optimizer(self.recipe, self.steps),
            loss=keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=self.recipe.label_smoothing),
            auto_scale_loss=self.recipe.precision == "mixed_float16",
        )
        self.model.optimizer.build(self.model.trainable_variables)
        self.averages = [
            keras.Variable(value, trainable=False, name=f"average{index}")
            for index, value in enumerate(self._values(self.model.trainable_variables))
        ]
        self.best_weights = self._values(self.network.variables)

    def _run_epoch(self) -> None:
        order = np.random.default_rng([self.recipe.seed, self.epoch]).permutation(len(self.train.truth))
        bar = self.progress.start(f"Epoch {self.epoch + 1} of {self.recipe.epochs}", total=self.steps, done=self.step)
        losses: list[float] = []
        while self.step < self.steps:
            picked = order[self.step * self.recipe.batch_size : (self.step + 1) * self.recipe.batch_size]
            losses.append(self._run_batch(np.sort(picked)))
            self.step += 1
            best = f", best validation AUC {self.best:.4f}" if self.history else ""
            self.progress.advance(bar, f"loss {np.mean(losses[-50:]):.4f}{best}")
            if self._is_stopped and self.step < self.steps:
                self._save()
                raise StoppedError
        self._end_epoch(float(np.mean(losses)))

    def _run_batch(self, picked: NDArray[np.int64]) -> float:
        truth = self.train.truth[picked]
        weights = self.weights[truth.astype(int)]
        loss = float(self.model.train_on_batch(self.train.films[picked], truth[:, None], weights, return_dict=True)["loss"])
        if not math.isfinite(loss):
            raise DataError("The loss is no number any more: lower the learning rate or the precision's risk.")
        done = self.epoch * self.steps + self.step + 1
        momentum = min(self.recipe.averaging, done / (done + 10))
        for average, variable in zip(self.averages, self.model.trainable_variables, strict=True):
            average.assign(average + (1 - momentum) * (variable - average))
        return loss

    def _end_epoch(self, loss: float) -> None:
        raw = self._values(self.model.trainable_variables)
        self._assign(self.model.trainable_variables, self._values(self.averages))
        score = auc(self.validate.truth, predict_logits(self.network, self.validate.films))
        if score > self.best:
            self.best, self.best_weights = score, self._values(self.network.variables)
        self._assign(self.model.trainable_variables, raw)
        self.history.append({"loss": loss, "validation_auc": score})
        self.epoch, self.step = self.epoch + 1, 0
        self.progress.say(f"Epoch {self.epoch}: loss {loss:.4f}, validation AUC {score:.5f}")
        self._save()

    def _is_stale(self) -> bool:
        scores, patience = [entry["validation_auc"] for entry in self.history], self.recipe.patience
        return len(scores) > patience and max(scores[-patience:]) <= max(scores[:-patience])

    def _save(self) -> None:
        state = {
            "fingerprint": self.fingerprint,
            "epoch": self.epoch,
            "step": self.step,
            "best": self.best,
            "history": self.history,
        }
        groups = {
            "model": self._values(self.model.variables),
            "optimizer": self._values(self.model.optimizer.variables),
            "averages": self._values(self.averages),
            "best": self.best_weights,
        }
        save_checkpoint(self.checkpoint, state, groups)

    def _restore(self) -> None:
        state, groups = read_checkpoint(self.checkpoint)
        if state["fingerprint"] != self.fingerprint:
            raise DataError(f"The checkpoint {self.checkpoint} is of other data or another recipe; delete it to begin anew.")
        self._assign(self.model.variables, groups["model"])
        self._assign(self.model.optimizer.variables, groups["optimizer"])
        self._assign(self.averages, groups["averages"])
        self.best_weights = groups["best"]
        self.epoch, self.step, self.best = state["epoch"], state["step"], state["best"]
        self.history = state["history"]
        self.progress.say(f"Going on from epoch {self.epoch + 1}, batch {self.step + 1}")

    @staticmethod
    def _values(variables: list[Any]) -> list[NDArray[Any]]:
        return [keras.ops.convert_to_numpy(variable.value).copy() for variable in variables]

    @staticmethod
    def _assign(variables: list[Any], values: list[NDArray[Any]]) -> None:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    @contextmanager
    def _stops_on_signals(self) -> Iterator[None]:
        """SIGTERM and Ctrl-C end the run after the batch at hand."""

        def stop(number: int, frame: FrameType | None) -> None:
            self._is_stopped = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def weigh_classes(truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2,) weights by which each class counts half: count / (2 x count of the class)."""
    counts = np.bincount(truth.astype(int), minlength=2)
    return (len(truth) / (2 * counts)).astype(np.float32)


def make_optimizer(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """Schedule and optimizer; gradients are clipped to norm 1, for a network without batch norm has no other brake."""
    if recipe.schedule == "exponential":
        rate: Any = keras.optimizers.schedules.ExponentialDecay(
            recipe.learning_rate, recipe.decay_steps, recipe.decay_rate, staircase=True
        )
    else:
        warm_up = max(1, min(steps // 2, steps * recipe.epochs // 10))
        rate = keras.optimizers.schedules.CosineDecay(
            recipe.learning_rate / 20,
            max(1, steps * recipe.epochs - warm_up),
            warmup_target=recipe.learning_rate,
            warmup_steps=warm_up,
        )
    if recipe.optimizer == "adam":
        return keras.optimizers.Adam(rate)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, global_clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def predict_logits(network: keras.Model, films: NDArray[np.uint8], batch_size: int = 64) -> NDArray[np.float32]:
    """(count, size, size, 1) → (count,) logits."""
    parts = [
        np.asarray(network.predict_on_batch(films[start : start + batch_size].astype(np.float32)))[:, 0]
        for start in range(0, len(films), batch_size)
    ]
    return np.concatenate(parts)
