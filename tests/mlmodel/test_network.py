"""The builder: shapes, names, norms, heads; and that it learns."""

from typing import Any

import keras
import numpy as np
import pytest

from mlmodel.network import NetworkConfig, StochasticDepth, build_network
from mlmodel.weights import load_weights, pack_weights, round_kernels

pytestmark = pytest.mark.model


@pytest.mark.parametrize(
    ("config", "cells", "channels"),
    [
        (NetworkConfig(input_size=64, blocks=(1, 1), widths=(4, 6)), 8, 6),
        (NetworkConfig(input_size=64, blocks=(2, 1, 1), widths=(4, 6, 8), norm="batch"), 4, 8),
        (NetworkConfig(input_size=64, blocks=(1, 1), widths=(4, 6), block="bottleneck"), 8, 24),
        (NetworkConfig(input_size=80, blocks=(1, 1), widths=(4, 6), head="reference", head_width=8), 10, 6),
    ],
)
def test_every_configuration_maps_a_film_to_one_logit(config: NetworkConfig, cells: int, channels: int) -> None:
    network = build_network(config)
    films = np.zeros((3, config.input_size, config.input_size, 1), np.float32)
    assert network.get_layer("feature_map").output.shape == (None, cells, cells, channels)
    assert np.asarray(network(films)).shape == (3, 1)
    assert np.asarray(network(films)).dtype == np.float32


def test_the_reference_head_is_that_of_the_design() -> None:
    network = build_network(NetworkConfig(input_size=64, blocks=(1,), widths=(4,), head="reference"))
    dense = [network.get_layer(f"head{index}_dense") for index in (1, 2)]
    assert [layer.units for layer in dense] == [256, 256]
    assert [float(layer.kernel_regularizer.l2) for layer in dense] == pytest.approx([0.001, 0.001])
    assert network.get_layer("head2_dropout").rate == 0.3


def test_a_film_is_scaled_inside_the_network() -> None:
    network = build_network(NetworkConfig(input_size=64, blocks=(1,), widths=(4,)))
    scaled = keras.Model(network.input, network.get_layer("scale").output)
    film = np.full((1, 64, 64, 1), 255, np.float32)
    assert np.asarray(scaled(film)).max() == pytest.approx((1 - 0.449) / 0.226, rel=1e-5)


@pytest.mark.parametrize(
    "values",
    [
        {"blocks": (1, 1), "widths": (4,)},
        {"blocks": (), "widths": ()},
        {"norm": "layer"},
        {"head": "big"},
        {"block": "wide"},
        {"input_size": 4},
        {"input_size": 4096},
        {"blocks": (0, 1, 1)},
        {"dropout": 1.0},
        {"stochastic_depth": 1.0},
        {"depth": 18},
    ],
)
def test_an_impossible_configuration_says_what_it_received(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Received|no setting"):
        NetworkConfig.from_dict(values)


def test_a_configuration_survives_json() -> None:
    config = NetworkConfig(blocks=(2, 2, 4), norm="batch")
    assert NetworkConfig.from_dict({**config.as_dict(), "blocks": [2, 2, 4], "widths": [64, 128, 256]}) == config


def test_a_standardised_film_is_read_alike_however_it_was_exposed() -> None:
    network = build_network(NetworkConfig(input_size=32, blocks=(1, 1), widths=(8, 8), standardise=True))
    network.get_layer("logit").kernel.assign(np.ones((8, 1)))
    films = np.random.default_rng(5).uniform(60, 180, (3, 32, 32, 1)).astype(np.float32)
    blank = np.full((1, 32, 32, 1), 90, np.float32)
    plain, darker = np.asarray(network(films)), np.asarray(network(films * 0.7 + 10))
    assert np.ptp(plain) > 0.01
    np.testing.assert_allclose(darker, plain, rtol=0.01)  # but for what keeps a blank film from division by nothing
    assert np.isfinite(network(blank)).all()


def test_stochastic_depth_leaves_branches_out_in_training_alone() -> None:
    layer = StochasticDepth(0.25)
    branch = np.ones((4000, 2, 2, 3), np.float32)
    np.testing.assert_array_equal(np.asarray(layer(branch)), branch)
    seen = np.asarray(layer(branch, training=True))
    assert set(np.unique(seen)) == {0, np.float32(1 / 0.75)}
    assert (seen == seen[:, :1, :1, :1]).all()  # of a film the whole branch or nothing
    assert (seen[:, 0, 0, 0] == 0).mean() == pytest.approx(0.25, abs=0.03)


def test_deeper_blocks_are_left_out_more_often() -> None:
    network = build_network(NetworkConfig(input_size=32, blocks=(1, 3), widths=(8, 8), stochastic_depth=0.2))
    rates = [layer.rate for layer in network.layers if isinstance(layer, StochasticDepth)]
    assert rates == pytest.approx([0.05, 0.1, 0.15, 0.2])


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_a_tiny_network_over_fits_four_films(norm: Any) -> None:
    keras.utils.set_random_seed(3)
    network = build_network(NetworkConfig(input_size=32, blocks=(1, 1), widths=(8, 8), norm=norm, dropout=0.0))
    films = np.random.default_rng(3).integers(0, 255, (4, 32, 32, 1)).astype(np.float32)
    truth = np.array([[0], [1], [1], [0]], np.float32)
    network.compile(keras.optimizers.Adam(0.01), keras.losses.BinaryCrossentropy(from_logits=True))
    for _ in range(60):
        network.train_on_batch(films, truth)
    assert ((np.asarray(network(films, training=True)) > 0) == truth).all()


def test_weights_survive_saving_and_loading(tmp_path: Any, tiny_config: NetworkConfig, tiny_network: Any) -> None:
    (tmp_path / "weights.npz").write_bytes(pack_weights(tiny_network))
    copy = build_network(tiny_config)
    load_weights(copy, tmp_path)
    films = np.random.default_rng(1).uniform(0, 255, (2, 64, 64, 1)).astype(np.float32)
    assert np.array_equal(np.asarray(copy(films)), np.asarray(tiny_network(films)))


def test_rounding_is_what_saving_does(tiny_config: NetworkConfig) -> None:
    network = build_network(tiny_config)
    round_kernels(network)
    for variable in network.variables:
        if len(variable.shape) > 1:
            assert np.array_equal(variable.numpy(), variable.numpy().astype(np.float16))
