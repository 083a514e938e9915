"""Versions joined into one network."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from mlmodel.network import NetworkConfig, build_network
from mlmodel.serving import build_serving_model
from mlmodel.training.combining import combine_networks

pytestmark = pytest.mark.model

TINY = NetworkConfig(input_size=32, blocks=(1, 1), widths=(4, 8))


def make_member(seed: int, config: NetworkConfig = TINY) -> tuple[NetworkConfig, keras.Model]:
    keras.utils.set_random_seed(seed)
    network = build_network(config)
    generator = np.random.default_rng(seed)
    network.set_weights([generator.normal(0, 0.2, value.shape).astype(np.float32) for value in network.get_weights()])
    return config, network


def answers(network: keras.Model, films: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(value) for name, value in build_serving_model(network).predict_on_batch(films).items()}


def test_the_whole_answers_with_the_mean_of_its_members() -> None:
    members = [make_member(1), make_member(2), make_member(3)]
    films = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1), np.uint8)

    config, whole = combine_networks(members)
    together, alone = answers(whole, films), [answers(network, films) for _, network in members]

    assert config.towers == 3
    for name in ("logit", "activation"):
        mean = np.mean([each[name] for each in alone], axis=0)
        np.testing.assert_allclose(together[name], mean, atol=1e-5)
        assert np.abs(mean - alone[0][name]).max() > 1e-3
    np.testing.assert_allclose(together["features"], np.concatenate([each["features"] for each in alone], axis=1), atol=1e-5)


def test_one_version_is_not_combined() -> None:
    with pytest.raises(ValueError, match="two or more"):
        combine_networks([make_member(1)])


def test_versions_of_different_networks_are_not_combined() -> None:
    with pytest.raises(ValueError, match="two or more versions of the same network"):
        combine_networks([make_member(1), make_member(2, replace(TINY, widths=(4, 16)))])


def test_a_head_that_is_not_linear_is_not_combined() -> None:
    reference = replace(TINY, head="reference", head_width=4)
    with pytest.raises(ValueError, match="linear head"):
        combine_networks([make_member(1, reference), make_member(2, reference)])
