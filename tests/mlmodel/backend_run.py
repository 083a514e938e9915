"""`python -m tests.mlmodel.backend_run FOLDER DEVICES`: the same small training on the back end KERAS_BACKEND, told as JSON.

A program of its own, since a process has one back end for all its life.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILMS, SIZE, BATCH = 16, 32, 8  # two batches, of one shape, since each shape is compiled


def main(folder: Path, devices: str) -> None:
    """Train a network that starts from weights made by numpy, without chance; then with it, stopped and restored."""
    from mlmodel.training.backend import load_backend

    if os.environ["KERAS_BACKEND"] == "tensorflow" and devices != "1":
        _split_the_processor(int(devices))  # before anything is computed on it
    backend = load_backend()
    from mlmodel.network import NetworkConfig
    from mlmodel.training.recipe import AugmentationConfig, Recipe

    nothing: dict[str, Any] = dict.fromkeys(AugmentationConfig.__dataclass_fields__, 0)
    still = AugmentationConfig(**nothing)
    network = NetworkConfig(input_size=SIZE, blocks=(1, 1), widths=(6, 8), norm="none", head="linear", dropout=0.0)
    recipe = Recipe(network=network, augmentation=still, epochs=2, batch_size=BATCH, precision="float32", learning_rate=1e-3)
    told = {"backend": backend, **learn(recipe, folder, devices), **pack_and_load(network, folder)}
    if devices != "1":
        print(json.dumps(told))
        return
    chancy = replace(
        recipe, augmentation=AugmentationConfig(), network=replace(network, norm="batch", head="reference", dropout=0.4)
    )
    print(json.dumps({**told, **stop_and_restore(chancy, folder, devices)}))


def make_trainer(recipe: Any, folder: Path, devices: str) -> Any:
    from mlmodel.training.options import RunOptions
    from mlmodel.training.progress import Progress
    from mlmodel.training.trainer import Examples, Trainer

    generator = np.random.default_rng(4)
    truth = (np.arange(FILMS) % 2).astype(np.float32)
    noisy = generator.normal(90 + 40 * truth[:, None, None, None], 30, (FILMS, SIZE, SIZE, 1))
    films = Examples(np.clip(noisy, 0, 255).astype(np.uint8), truth)
    options = RunOptions(devices=devices, checkpoint_seconds=0)
    quiet = Progress(quiet=True)
    return Trainer(recipe, films, films, options=options, checkpoint=folder / "run.npz", progress=quiet, fingerprint="one")


def fill(network: Any) -> None:
    generator = np.random.default_rng(6)
    for variable in network.trainable_variables:
        fan_in = max(1, int(np.prod(variable.shape[:-1])))
        variable.assign(generator.normal(0, 1 / np.sqrt(fan_in), variable.shape).astype(np.float32))


def learn(recipe: Any, folder: Path, devices: str) -> dict[str, Any]:
    from mlmodel.serving import build_serving_model
    from mlmodel.training.trainer import predict_logits

    trainer = make_trainer(recipe, folder, devices)
    fill(trainer.network)
    told: dict[str, Any] = {
        "devices": trainer.devices.count,
        "logits": listed(predict_logits(trainer.network, trainer.train.films)),
    }
    network = trainer.fit()
    told |= {"history": trainer.history, "trained": listed(predict_logits(network, trainer.train.films))}
    served = build_serving_model(network).predict_on_batch(trainer.train.films[:4])
    (folder / "run.npz").unlink()
    return told | {"served": listed(served["logit"]), "activation": listed(served["activation"])}


def pack_and_load(config: Any, folder: Path) -> dict[str, Any]:
    """The largest difference of logits between a network and what is packed and loaded of it."""
    import keras

    from mlmodel.network import build_network
    from mlmodel.weights import load_weights, pack_weights, round_kernels

    first, second = build_network(config), build_network(config)
    fill(first)
    round_kernels(first)
    (folder / "weights.npz").write_bytes(pack_weights(first))
    load_weights(second, folder)
    films = np.random.default_rng(1).uniform(0, 255, (3, SIZE, SIZE, 1)).astype(np.float32)
    one, other = (keras.ops.convert_to_numpy(network(films)) for network in (first, second))
    return {"lost_in_packing": float(np.abs(one - other).max())}


def stop_and_restore(recipe: Any, folder: Path, devices: str) -> dict[str, Any]:
    """The largest difference of a weight between a run and the same one, stopped in the middle of its second epoch."""
    from mlmodel.training.trainer import StoppedError

    whole = make_trainer(recipe, folder, devices).fit().get_weights()
    (folder / "run.npz").unlink()
    stopped = make_trainer(recipe, folder, devices)
    run_batch = stopped._run_batch

    def run(picked: NDArray[np.int64]) -> dict[str, float]:
        stopped._is_stopped = stopped.done == stopped.steps + 1
        return run_batch(picked)

    stopped._run_batch = run
    try:
        stopped.fit()
    except StoppedError:
        resumed = make_trainer(recipe, folder, devices)
        parts = resumed.fit().get_weights()
    return {"lost_in_stopping": max(float(np.abs(one - other).max()) for one, other in zip(whole, parts, strict=True))}


def listed(values: Any) -> list[float]:
    return [float(value) for value in np.asarray(values).ravel()]


def _split_the_processor(count: int) -> None:
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)


if __name__ == "__main__":
    if os.environ["KERAS_BACKEND"] == "jax":
        os.environ.setdefault("XLA_FLAGS", f"--xla_force_host_platform_device_count={sys.argv[2]}")
    main(Path(sys.argv[1]), sys.argv[2])
