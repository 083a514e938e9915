"""Each batch over several devices: every device has the whole network and its share of the films.

JAX does it by `keras.distribution.DataParallel`. Keras has nothing of the kind for TensorFlow, whose own `MirroredStrategy` is
used: the one place in training that knows TensorFlow. It clips each device's gradient by itself, so that where gradients are
clipped the weights differ a little from those of one device. PyTorch is left with one device.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray


class OneDevice:
    """What every back end does without being asked."""

    count = 1

    def scope(self) -> AbstractContextManager[Any]:
        """Build the network in here, and train it."""
        return nullcontext()

    def prepare(self, model: keras.Model, films: NDArray[np.uint8], truth: NDArray[np.float32]) -> None:
        """Called once before the first step, with `count` films."""

    def train_on_batch(
        self, model: keras.Model, films: NDArray[np.uint8], truth: NDArray[np.float32], weights: NDArray[np.float32]
    ) -> dict[str, float]:
        """One step on films (batch, size, size, 1), truth (batch, 1), weights (batch,), a multiple of `count`
        each; its loss and the other metrics."""
        logs: dict[str, float] = model.train_on_batch(films, truth, weights, return_dict=True)
        return logs


class ManyJaxDevices(OneDevice):
    def __init__(self, count: int) -> None:
        self.count = count
        self._distribution = keras.distribution.DataParallel(devices=keras.distribution.list_devices()[:count])

    def scope(self) -> AbstractContextManager[Any]:
        scope: AbstractContextManager[Any] = self._distribution.scope()
        return scope


class ManyTensorFlowDevices(OneDevice):
    def __init__(self, count: int) -> None:
        import tensorflow as tf

        self.count = count
        kind = _tensorflow_kind()
        self._strategy = tf.distribute.MirroredStrategy([f"{kind}:{index}" for index in range(count)])

    def scope(self) -> AbstractContextManager[Any]:
        scope: AbstractContextManager[Any] = self._strategy.scope()
        return scope

    def prepare(self, model: keras.Model, films: NDArray[np.uint8], truth: NDArray[np.float32]) -> None:
        """Metrics are made at the first call, which inside the training function is too late for several devices."""
        model.evaluate(films, truth, len(films), sample_weight=np.ones(len(films), np.float32), verbose=0)
        model.make_train_function()

    def train_on_batch(
        self, model: keras.Model, films: NDArray[np.uint8], truth: NDArray[np.float32], weights: NDArray[np.float32]
    ) -> dict[str, float]:
        """As for one device. Keras' own `train_on_batch` would give the whole batch to each of them."""
        import tensorflow as tf

        parts = [tuple(np.split(array, self.count)) for array in (films, truth, weights)]

        def share(context: Any) -> tuple[Any, ...]:
            return tuple(tf.constant(part[context.replica_id_in_sync_group]) for part in parts)

        model.reset_metrics()
        logs = model.train_function(iter([self._strategy.experimental_distribute_values_from_function(share)]))
        return {name: float(value) for name, value in logs.items()}


def spread_over(devices: str, batch_size: int, say: Callable[[str], None]) -> OneDevice:
    """`auto` is every accelerator there is, as far as the batch can be shared out evenly. Raises `ValueError` for more devices
    than there are, or than share `batch_size` evenly."""
    backend = keras.backend.backend()
    if backend not in {"tensorflow", "jax"}:
        if devices not in {"1", "auto"}:
            say(f"Several devices are not supported on {backend}, using one.")
        return OneDevice()
    there = _count_devices(accelerators_only=devices == "auto")
    count = next(n for n in range(max(1, there), 0, -1) if batch_size % n == 0) if devices == "auto" else int(devices)
    if count > max(1, there):
        raise ValueError(f"There are {there} devices. Received: {count}")
    if batch_size % count:
        raise ValueError(f"A batch of {batch_size} films cannot be shared evenly among {count} devices.")
    if count == 1:
        return OneDevice()
    say(f"Each batch is shared among {count} devices")
    return ManyJaxDevices(count) if backend == "jax" else ManyTensorFlowDevices(count)


def _count_devices(*, accelerators_only: bool) -> int:
    """CPUs count only where nothing else is there, and only when asked for: a program rarely means to halve its own cores."""
    names = keras.distribution.list_devices()
    return 1 if accelerators_only and names[0].startswith("cpu") else len(names)


def _tensorflow_kind() -> str:
    return str(keras.distribution.list_devices()[0].partition(":")[0]).upper()
