"""The serving graph: mirror images, Grad-CAM in closed form, and the two engines that must agree."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from mlmodel.artifact import read_metadata
from mlmodel.engines import load_engine
from mlmodel.network import NetworkConfig
from mlmodel.serving import build_serving_model, stage_ends
from tests.mlmodel.films import draw_uint8

pytestmark = pytest.mark.model


def films(count: int = 3, size: int = 64) -> NDArray[np.uint8]:
    return np.stack([draw_uint8(seed, width=size, height=size) for seed in range(count)])[..., None]


def taped_grad_cam(network: Any, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Grad-CAM by automatic differentiation, before the ReLU."""
    maps_of = keras.Model(network.input, network.get_layer("feature_map").output)
    layers = network.layers[network.layers.index(network.get_layer("feature_map")) + 1 :]
    maps = tf.constant(maps_of.predict_on_batch(batch.astype(np.float32)))
    with tf.GradientTape() as tape:
        tape.watch(maps)
        x = maps
        for layer in layers:
            x = layer(x, training=False) if "norm" in layer.name or "dropout" in layer.name else layer(x)
    weights = tf.reduce_mean(tape.gradient(x, maps), axis=(1, 2), keepdims=True)
    return np.asarray(tf.reduce_sum(maps * weights, axis=-1))


@pytest.mark.parametrize("head", ["linear", "reference"])
def test_the_activation_map_is_that_of_a_gradient_tape(head: Any) -> None:
    from mlmodel.network import build_network

    keras.utils.set_random_seed(2)
    network = build_network(NetworkConfig(input_size=64, blocks=(1, 1), widths=(6, 10), head=head, norm="batch", head_width=16))
    for variable in network.variables:
        if len(variable.shape) == 1 and variable.dtype == "float32":
            variable.assign(np.random.default_rng(2).uniform(0.4, 1.6, variable.shape))
    batch = films()
    expected = (taped_grad_cam(network, batch) + taped_grad_cam(network, batch[:, :, ::-1])[:, :, ::-1]) / 2
    ours = build_serving_model(network).predict_on_batch(batch)["activation"]
    assert np.std(expected) > 0
    for mine, theirs in zip(ours, expected, strict=True):
        assert np.corrcoef(mine.ravel(), theirs.ravel())[0, 1] >= 0.99
        assert np.abs(mine - theirs).max() <= 1e-3 * np.abs(theirs).max()


def test_a_mirrored_film_has_the_same_logit_and_the_mirrored_map(tiny_network: Any) -> None:
    serving = build_serving_model(tiny_network)
    plain, mirrored = serving.predict_on_batch(films()), serving.predict_on_batch(films()[:, :, ::-1])
    assert np.allclose(plain["logit"], mirrored["logit"], atol=1e-5)
    assert np.allclose(plain["activation"], mirrored["activation"][:, :, ::-1], atol=1e-6)


def test_the_logit_is_the_mean_over_film_and_mirror_image(tiny_network: Any) -> None:
    batch = films()
    single = [np.asarray(tiny_network(one.astype(np.float32))) for one in (batch, batch[:, :, ::-1])]
    assert np.abs(single[0] - single[1]).max() > 1e-3
    assert np.allclose(build_serving_model(tiny_network).predict_on_batch(batch)["logit"], sum(single) / 2, atol=1e-5)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_the_engines_agree_at_float32(tiny_artifact: Path, count: int) -> None:
    metadata = read_metadata(tiny_artifact)
    batch = films(count)
    theirs = load_engine(tiny_artifact, metadata, engine="keras").run(batch)
    ours = load_engine(tiny_artifact, metadata, engine="openvino", precision="float32").run(batch)
    assert ours.logits.shape == (count,)
    assert np.abs(1 / (1 + np.exp(-ours.logits)) - 1 / (1 + np.exp(-theirs.logits))).max() <= 0.001
    assert np.abs(ours.activations - theirs.activations).max() <= 0.01 * np.abs(theirs.activations).max()
    assert ours.features is not None
    assert theirs.features is not None
    assert ours.features.shape == (count, 6 + 10)
    assert np.abs(ours.features - theirs.features).max() <= 0.01 * np.abs(theirs.features).max()


def test_the_features_are_every_stage_pooled_over_film_and_mirror_image(tiny_network: Any) -> None:
    batch = films()
    stages = [network_layer.output for network_layer in stage_ends(tiny_network)]
    maps = keras.Model(tiny_network.input, stages)
    pooled = [
        np.concatenate([np.asarray(stage).mean(axis=(1, 2)) for stage in maps(one.astype(np.float32))], axis=1)
        for one in (batch, batch[:, :, ::-1])
    ]
    assert np.abs(pooled[0] - pooled[1]).max() > 1e-3
    served = build_serving_model(tiny_network).predict_on_batch(batch)["features"]
    assert np.allclose(served, sum(pooled) / 2, rtol=1e-3, atol=1e-4)


def test_a_film_has_the_same_answer_alone_and_in_a_batch(tiny_artifact: Path) -> None:
    engine = load_engine(tiny_artifact, read_metadata(tiny_artifact), engine="openvino")
    together = engine.run(films(5)).logits
    alone = [engine.run(films(5)[index : index + 1]).logits[0] for index in range(5)]
    assert np.allclose(together, alone, atol=2e-2)


@pytest.mark.parametrize("names", [{"engine": "onnx"}, {"precision": "int8"}])
def test_an_unknown_engine_is_refused(tiny_artifact: Path, names: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="Received"):
        load_engine(tiny_artifact, {}, **names)  # type: ignore[arg-type]
