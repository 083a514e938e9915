"""Several versions joined into one network: an ensemble that is served, explained and judged as a single ResNet is.

With linear heads the mean of the members' logits is itself linear in their pooled maps laid side by side (Lakshminarayanan et
al., Deep Ensembles, NeurIPS 2017, give the reason to average; here in logits, so that the class-activation map stays exact).
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from mlmodel.artifact import verify_artifact
from mlmodel.network import NetworkConfig, build_network, tower_prefix
from mlmodel.weights import load_weights

SHARED = frozenset({"scale", "logit"})


def read_member(directory: Path) -> tuple[NetworkConfig, keras.Model]:
    """Configuration and network of a version. Raises `ModelError` for a damaged artifact, `ValueError` for one whose network
    this code does not build."""
    config = NetworkConfig.from_dict(verify_artifact(directory)["network"])
    network = build_network(config)
    load_weights(network, directory)
    return config, network


def combine_networks(members: Sequence[tuple[NetworkConfig, keras.Model]]) -> tuple[NetworkConfig, keras.Model]:
    """One network of as many towers, whose logit is the mean of the members'.

    Raises `ValueError` unless there are at least two, of one configuration, with linear heads and one tower each.
    """
    configs = [config for config, _ in members]
    if len(members) < 2 or any(config != configs[0] for config in configs):
        raise ValueError("Only two or more versions of the same network can be combined.")
    if configs[0].head != "linear" or configs[0].towers != 1:
        raise ValueError(f"Only networks with a linear head and one tower can be combined. Received: {configs[0]}")
    config = replace(configs[0], towers=len(members))
    whole = build_network(config)
    for index, (_, network) in enumerate(members):
        for layer in network.layers:
            if layer.weights and layer.name not in SHARED:
                whole.get_layer(tower_prefix(index) + layer.name).set_weights(layer.get_weights())
    heads = [network.get_layer("logit").get_weights() for _, network in members]
    kernel = np.concatenate([kernel for kernel, _ in heads]) / len(heads)
    whole.get_layer("logit").set_weights([kernel, np.mean([bias for _, bias in heads], axis=0)])
    return config, whole
