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
from mlmodel.serving import build_serving_model
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
    keras_logits, keras_maps = load_engine(tiny_artifact, metadata, engine="keras").run(batch)
    logits, maps = load_engine(tiny_artifact, metadata, engine="openvino", precision="float32").run(batch)
    assert logits.shape == (count,)
    assert np.abs(1 / (1 + np.exp(-logits)) - 1 / (1 + np.exp(-keras_logits))).max() <= 0.001
    assert np.abs(maps - keras_maps).max() <= 0.01 * np.abs(keras_maps).max()


def test_a_film_has_the_same_answer_alone_and_in_a_batch(tiny_artifact: Path) -> None:
    engine = load_engine(tiny_artifact, read_metadata(tiny_artifact), engine="openvino")
    together, _ = engine.run(films(5))
    alone = [engine.run(films(5)[index : index + 1])[0][0] for index in range(5)]
    assert np.allclose(together, alone, atol=2e-2)


@pytest.mark.parametrize("names", [{"engine": "onnx"}, {"precision": "int8"}])
def test_an_unknown_engine_is_refused(tiny_artifact: Path, names: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="Received"):
        load_engine(tiny_artifact, {}, **names)  # type: ignore[arg-type]
