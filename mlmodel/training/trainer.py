"""The training loop: batches from memory, averaged weights, checkpoints that a stopped run goes on from."""

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from rich.progress import TaskID
from sklearn.metrics import log_loss

from mlmodel.evaluation.measures import auc
from mlmodel.network import build_network
from mlmodel.pretrained import Pretrained, load_pretrained
from mlmodel.training.augmentation import Augment
from mlmodel.training.checkpoint import read_checkpoint, save_checkpoint
from mlmodel.training.dataset import DataError
from mlmodel.training.distribution import spread_over
from mlmodel.training.mixing import mix_pairs
from mlmodel.training.opacities import OpaqueCopies, copy_with_opacities
from mlmodel.training.options import RunOptions
from mlmodel.training.outline import change_outlines
from mlmodel.training.progress import Progress
from mlmodel.training.recipe import Recipe
from mlmodel.training.sharpness import mix_sharpness
from mlmodel.training.tones import mix_tones


class StoppedError(Exception):
    """Training was asked to stop and has saved what it had."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Films (count, size, size, 1) uint8, truth (count,) 0 or 1."""

    films: NDArray[np.uint8]
    truth: NDArray[np.float32]


class RunningAUC(keras.metrics.AUC):
    """The AUC of the epoch so far. Keras resets its metrics at every batch; this one waits for `start_epoch`. A mixed film
    counts as what the larger share of it is."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return super().update_state(keras.ops.cast(y_true > 0.5, "float32"), y_pred, sample_weight)

    def reset_state(self) -> None:
        pass

    def start_epoch(self) -> None:
        super().reset_state()


class Trainer:
    """One run. `fit` returns the network of the best epoch, with averaged weights."""

    def __init__(
        self,
        recipe: Recipe,
        train: Examples,
        validate: Examples,
        *,
        options: RunOptions,
        checkpoint: Path,
        progress: Progress,
        fingerprint: str,
    ) -> None:
        keras.utils.set_random_seed(recipe.seed)
        self.recipe, self.train, self.validate, self.options = recipe, train, validate, options
        self.checkpoint, self.progress, self.fingerprint = checkpoint, progress, fingerprint
        self.devices = spread_over(options.devices, recipe.batch_size, progress.say)
        with self.devices.scope():
            self.network = build_network(recipe.network, dtype=recipe.precision)
        # Where a batch is shared out, the few films of the last one that cannot be wait for the next epoch's other order.
        self.used = len(train.truth) - len(train.truth) % recipe.batch_size % self.devices.count
        self.steps = math.ceil(self.used / recipe.batch_size)
        self.weights = weigh_classes(train.truth) if recipe.class_weights else np.ones(2, np.float32)
        self.disguised = disguise_films(train, recipe)
        self.opaque = draw_into_normals(train, self.disguised, recipe)
        self.history: list[dict[str, float]] = []
        self.epoch, self.step, self.best, self.loss_sum = 0, 0, -1.0, 0.0
        self._is_stopped, self._save_at = False, time.monotonic() + options.checkpoint_seconds

    def start_from(self, pretrained: Pretrained) -> int:
        """Copy what fits; returns how many convolutions. Raises `ValueError` where they do not fit."""
        return load_pretrained(self.network, pretrained, self.train.films)

    def fit(self) -> keras.Model:
        """Train to the last epoch, or until validation has not improved for `patience` epochs. Raises `StoppedError` on
        SIGTERM."""
        with self.devices.scope():
            self._compile()
            if self.checkpoint.exists():
                self._restore()
            elif self.options.resume:
                self.progress.say("There is no checkpoint to go on from: beginning anew")
            bar = self.progress.start("Training", total=self.recipe.epochs * self.steps, done=self.done)
            with self._stops_on_signals():
                while self.epoch < self.recipe.epochs and not self._is_stale():
                    self._run_epoch(bar)
            self._assign(self.network.variables, self.best_weights)
        return self.network

    @property
    def done(self) -> int:
        """Batches of the whole run so far."""
        return self.epoch * self.steps + self.step

    def _compile(self) -> None:
        film = keras.Input(self.network.input_shape[1:], dtype="uint8", name="raw_film")
        augmented = Augment(self.recipe.augmentation, seed=self.recipe.seed, name="augment")(film)
        self.model = keras.Model(film, self.network(augmented), name="training")
        self.auc = RunningAUC(from_logits=True, name="auc")
        self.model.compile(
            optimizer=make_optimizer(self.recipe, self.steps),
            loss=keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=self.recipe.label_smoothing),
            metrics=[self.auc],
            auto_scale_loss=self.recipe.precision == "mixed_float16",
            # XLA knows no projective transform on TensorFlow; torch.compile costs minutes before it saves any
            jit_compile=keras.backend.backend() == "jax",
        )
        self.model.optimizer.build(self.model.trainable_variables)
        some = slice(0, self.devices.count)
        self.devices.prepare(self.model, self.train.films[some], self.train.truth[some, None])
        self.auc.start_epoch()
        self.averages = [
            keras.Variable(value, trainable=False, name=f"average{index}")
            for index, value in enumerate(self._values(self.model.trainable_variables))
        ]
        self.best_weights = self._values(self.network.variables)

    def _run_epoch(self, bar: TaskID) -> None:
        order = np.random.default_rng([self.recipe.seed, self.epoch]).permutation(len(self.train.truth))[: self.used]
        while self.step < self.steps:
            picked = order[self.step * self.recipe.batch_size : (self.step + 1) * self.recipe.batch_size]
            logs = self._run_batch(np.sort(picked))
            self.step, self.loss_sum = self.step + 1, self.loss_sum + logs["loss"]
            best = f", best validation AUC {self.best:.4f}" if self.history else ""
            note = f"loss {self.loss_sum / self.step:.4f}, AUC {logs['auc']:.4f}{best}"
            self.progress.advance(bar, f"Epoch {self.epoch + 1} of {self.recipe.epochs}", note)
            if self.step < self.steps:
                self._save_or_stop()
        self._end_epoch()

    def _run_batch(self, picked: NDArray[np.int64]) -> dict[str, float]:
        films, truth = self.train.films[picked], self.train.truth[picked]
        generator = np.random.default_rng([self.recipe.seed, self.epoch, self.step])
        if self.disguised is not None:
            is_copy = generator.random(len(picked)) < self.recipe.disguise
            films = np.where(is_copy[:, None, None, None], self.disguised[picked], films)
        if self.opaque is not None:
            films, truth = self.opaque.put_in(films, truth, picked, share=self.recipe.opacify, generator=generator)
        weights = self.weights[truth.astype(int)]
        if self.recipe.mixup:
            films, truth, weights = mix_pairs(films, truth, weights, strength=self.recipe.mixup, generator=generator)
        logs = self.devices.train_on_batch(self.model, films, truth[:, None], weights)
        if not math.isfinite(logs["loss"]):
            raise DataError("The loss is no number any more: lower the learning rate or the precision's risk.")
        done = self.done + 1
        momentum = min(self.recipe.averaging, done / (done + 10))
        for average, variable in zip(self.averages, self.model.trainable_variables, strict=True):
            average.assign(average + (1 - momentum) * (variable - average))
        return logs

    def _end_epoch(self) -> None:
        raw = self._values(self.model.trainable_variables)
        self._assign(self.model.trainable_variables, self._values(self.averages))
        entry = {"loss": self.loss_sum / self.steps, "auc": float(self.auc.result()), **self._validate()}
        if entry["validation_auc"] > self.best:
            self.best, self.best_weights = entry["validation_auc"], self._values(self.network.variables)
        self._assign(self.model.trainable_variables, raw)
        self.history.append(entry)
        self.epoch, self.step, self.loss_sum = self.epoch + 1, 0, 0.0
        self.auc.start_epoch()
        self.progress.say(
            f"Epoch {self.epoch}: loss {entry['loss']:.4f}, AUC {entry['auc']:.4f}, validation loss "
            f"{entry['validation_loss']:.4f}, validation AUC {entry['validation_auc']:.5f}"
        )
        self._save_or_stop(always=True)

    def _validate(self) -> dict[str, float]:
        logits = predict_logits(self.network, self.validate.films).astype(np.float64)
        if not np.isfinite(logits).all():
            raise DataError("The network's answers are no numbers any more: lower the learning rate or the precision's risk.")
        loss = log_loss(self.validate.truth, 0.5 * (1 + np.tanh(logits / 2)), labels=[0, 1])
        return {"validation_loss": float(loss), "validation_auc": auc(self.validate.truth, logits)}

    def _is_stale(self) -> bool:
        scores, patience = [entry["validation_auc"] for entry in self.history], self.recipe.patience
        return len(scores) > patience and max(scores[-patience:]) <= max(scores[:-patience])

    def _save_or_stop(self, *, always: bool = False) -> None:
        """A checkpoint where one is due. A disk that is full for now must not end hours of work; one that is full when the run
        was asked to stop is an `OSError`, for nothing is saved then."""
        if self._is_stopped:
            self._save()
            raise StoppedError
        if always or time.monotonic() >= self._save_at:
            try:
                self._save()
            except OSError as error:
                self._save_at = time.monotonic() + self.options.checkpoint_seconds
                self.progress.say(f"The checkpoint could not be written: {error.strerror or error}")

    def _save(self) -> None:
        state = {
            "fingerprint": self.fingerprint,
            "epoch": self.epoch,
            "step": self.step,
            "best": self.best,
            "loss_sum": self.loss_sum,
            "history": self.history,
        }
        started = time.monotonic()
        groups = {name: self._values(variables) for name, variables in self._variables().items()}
        save_checkpoint(self.checkpoint, state, {**groups, "best": self.best_weights})
        took = time.monotonic() - started  # at most a tenth of the time goes into checkpoints, however slow the disk
        self._save_at = time.monotonic() + max(
            self.options.checkpoint_seconds, 10 * took if self.options.checkpoint_seconds else 0
        )

    def _restore(self) -> None:
        state, groups = read_checkpoint(self.checkpoint)
        if state.get("fingerprint") != self.fingerprint:
            raise DataError(f"The checkpoint {self.checkpoint} is of other data or another recipe; delete it to begin anew.")
        try:
            for name, variables in self._variables().items():
                self._assign(variables, groups[name])
            self.best_weights = groups["best"]
            self.epoch, self.step, self.best = state["epoch"], state["step"], state["best"]
            self.loss_sum, self.history = state["loss_sum"], state["history"]
        except (KeyError, ValueError) as error:
            raise DataError(f"The checkpoint {self.checkpoint} does not fit this program; delete it to begin anew.") from error
        self.progress.say(f"Going on from epoch {self.epoch + 1}, batch {self.step + 1}")

    def _variables(self) -> dict[str, list[Any]]:
        """All that changes in training, the states of the random numbers among them."""
        return {
            "model": self.model.variables,
            "optimizer": self.model.optimizer.variables,
            "averages": self.averages,
            "auc": self.auc.variables,
        }

    @staticmethod
    def _values(variables: list[Any]) -> list[NDArray[Any]]:
        # first to a tensor, since one variable may have a part on every device
        return [np.array(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(variable))) for variable in variables]

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


def disguise_films(train: Examples, recipe: Recipe) -> NDArray[np.uint8] | None:
    """A second copy of each film, in which outline, tones and sharpness say less of its class; None where the recipe wants
    none of it. Done once per run: the share `disguise` of every batch is then taken from it."""
    if not recipe.reoutline and not recipe.retone and not recipe.resharpen:
        return None
    films = train.films
    if recipe.reoutline:
        films = change_outlines(films, train.truth, limit=recipe.reoutline, seed=recipe.seed)
    if recipe.retone:
        films = mix_tones(films, train.truth, limit=recipe.retone, seed=recipe.seed)
    if recipe.resharpen:
        films = mix_sharpness(films, train.truth, limit=recipe.resharpen, seed=recipe.seed)
    return films


def draw_into_normals(train: Examples, disguised: NDArray[np.uint8] | None, recipe: Recipe) -> OpaqueCopies | None:
    """Copies of the normal films and, where there are such, of the disguised ones with opacities; None where the recipe wants
    none."""
    if not recipe.opacify:
        return None
    variants = [train.films] if disguised is None else [train.films, disguised]
    return copy_with_opacities(variants, train.truth, seed=recipe.seed)


def weigh_classes(truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2,) weights by which each class counts half, before opacities are drawn: count / (2 x count of the class)."""
    counts = np.bincount(truth.astype(int), minlength=2)
    return (len(truth) / (2 * counts)).astype(np.float32)


def make_optimizer(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """Schedule and optimizer; AdamW's gradients are clipped to norm 1: a network without batch norm has no other brake."""
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
    """(count, size, size, 1) → (count,) logits. Whole batches alone: several devices can share them."""
    padded = np.concatenate([films, np.repeat(films[-1:], -len(films) % batch_size, axis=0)])
    return np.asarray(network.predict(padded, batch_size=batch_size, verbose=0))[: len(films), 0]
