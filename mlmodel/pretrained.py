"""Start the network from torchvision's ResNet weights, batch norm folded (see `load_folded_weights`)."""

from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import keras
import numpy as np
from numpy.typing import NDArray


def read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Arrays of an NPZ file by torchvision's names. Raises `ValueError` where the file is none."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name], np.float32) for name in archive.files}
    except (OSError, BadZipFile, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is not a readable NPZ file of weights.") from error


def load_folded_weights(network: keras.Model, weights: Mapping[str, NDArray[np.float32]]) -> int:
    """Copy every convolution that `weights` has (`layer2.0.conv1.weight`, out x in x height x width, and `.bias`) into a
    network without batch norm; return how many were copied. The first one, made for three colours, is summed over them.

    Raises `ValueError` where a shape does not fit, the network has batch norm, or nothing was copied.
    """
    copied = 0
    for layer in network.layers:
        name = _torch_name(layer.name)
        if f"{name}.weight" not in weights:
            continue
        if not getattr(layer, "use_bias", False):
            raise ValueError("Weights with folded batch norm need a network whose norm is none.")
        kernel = weights[f"{name}.weight"].transpose(2, 3, 1, 0)
        if layer.name == "conv1":
            kernel = kernel.sum(axis=2, keepdims=True)
        if tuple(layer.kernel.shape) != kernel.shape:
            raise ValueError(f"{layer.name} needs the shape {tuple(layer.kernel.shape)}. Received: {kernel.shape}")
        layer.set_weights([kernel, weights[f"{name}.bias"]])
        copied += 1
    if not copied:
        raise ValueError("The file holds no convolution of this network.")
    return copied


def _torch_name(layer_name: str) -> str:
    """`layer2_0_conv1` → `layer2.0.conv1`; torchvision calls the shortcut `downsample.0`."""
    return layer_name.replace("_", ".").replace("downsample", "downsample.0")
