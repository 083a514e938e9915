"""Start the network from weights that others, or an earlier version, have learned.

Three sources end in one form, a `Convolution` per layer, so that each fits networks with and without batch norm: an NPZ file by
torchvision's names (batch norm folded in or beside), an artifact of ours, and Keras Applications' ResNet50.
"""

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from zipfile import BadZipFile

import keras
import numpy as np
from numpy.typing import NDArray

from mlmodel.artifact import WEIGHTS, verify_artifact
from mlmodel.network import GREY_DEVIATION, GREY_MEAN, NetworkConfig
from mlmodel.types import ModelError

Array = NDArray[np.float32]
EPSILON = 1e-5  # of batch norm, in torchvision and in our network
CALIBRATION_FILMS, CALIBRATION_BATCH = 128, 32
CAFFE_MEANS = np.array([103.939, 116.779, 123.68], np.float32)  # of blue, green, red: what Keras' ResNet50 subtracts


@dataclass(frozen=True, slots=True)
class Norm:
    """Batch norm of one convolution, each (out,)."""

    gamma: Array
    beta: Array
    mean: Array
    variance: Array


@dataclass(frozen=True, slots=True)
class Convolution:
    """`kernel` (height, width, in, out), `bias` (out,), and the norm that follows unless it is folded in."""

    kernel: Array
    bias: Array
    norm: Norm | None = None

    def folded(self) -> tuple[Array, Array]:
        """Kernel and bias that do what convolution and norm do."""
        if self.norm is None:
            return self.kernel, self.bias
        slope = self.norm.gamma / np.sqrt(self.norm.variance + EPSILON)
        return self.kernel * slope, (self.bias - self.norm.mean) * slope + self.norm.beta


@dataclass(frozen=True, slots=True)
class Pretrained:
    """`convolutions` by our layers' names, `others` by the path of our variables; `name` goes into the metadata."""

    name: str
    sha256: str
    convolutions: Mapping[str, Convolution]
    others: Mapping[str, Array] = field(default_factory=dict)


def find_weights(given: str, imagenet_file: Path | None, config: NetworkConfig) -> Pretrained | None:
    """`none`, `imagenet`, an NPZ file, or the directory of a version. `imagenet` is `imagenet_file` or, without one and for
    bottleneck blocks, what Keras Applications downloads. Raises `ValueError` for what cannot be had or read."""
    if given == "none":
        return None
    if given == "imagenet" and imagenet_file is None:
        return _download(config)
    path = imagenet_file if given == "imagenet" and imagenet_file else Path(given)
    return read_version(path) if path.is_dir() else read_torchvision(path)


def read_torchvision(path: Path) -> Pretrained:
    """An NPZ file by torchvision's names: `layer2.0.conv1.weight` (out, in, height, width) with `.bias` where batch norm is
    folded in, or with `layer2.0.bn1.*` beside it. Raises `ValueError` where the file is none."""
    arrays = _read_npz(path)
    names = [name.removesuffix(".weight") for name, array in arrays.items() if name.endswith(".weight") and array.ndim == 4]
    try:
        convolutions = {_our_name(name): _from_torchvision(name, arrays) for name in names}
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} lacks a part of its convolutions.") from error
    return Pretrained(path.name, sha256(path.read_bytes()).hexdigest(), convolutions)


def read_version(directory: Path) -> Pretrained:
    """An earlier version of ours, to go on from. Raises `ValueError` where it is damaged."""
    try:
        metadata = verify_artifact(directory)
    except ModelError as error:
        raise ValueError(str(error)) from error
    arrays = _read_npz(directory / WEIGHTS)
    convolutions = {}
    for path, kernel in arrays.items():
        layer, _, kind = path.rpartition("/")
        if kind == "kernel" and kernel.ndim == 4:
            bias = arrays.get(f"{layer}/bias", np.zeros(kernel.shape[-1], np.float32))
            parts = [arrays.get(f"{layer}_norm/{part}") for part in ("gamma", "beta", "moving_mean", "moving_variance")]
            given = [part for part in parts if part is not None]
            convolutions[layer] = Convolution(kernel, bias, Norm(*given) if len(given) == len(parts) else None)
    others = {path: array for path, array in arrays.items() if path.partition("/")[0].removesuffix("_norm") not in convolutions}
    digest = sha256(json.dumps(metadata["files"], sort_keys=True).encode()).hexdigest()
    name = str(metadata.get("version", directory.name))
    if not convolutions:
        raise ValueError(f"The version {directory} has no convolutions.")
    return Pretrained(name, digest, convolutions, others)


def from_keras_applications(model: keras.Model) -> Pretrained:
    """Keras Applications' ResNet50 (He et al. as published, stride in the first convolution of a block; ours, as torchvision's,
    has it in the second: the shapes are the same, and stage 1 does the same). It reads blue, green, red from 0 to 255 less
    `CAFFE_MEANS`; the first convolution is rewritten for our scaled grey."""
    convolutions = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D) and layer.name.endswith("_conv"):
            norm = model.get_layer(layer.name.removesuffix("_conv") + "_bn")
            gamma, beta, mean, variance = (np.asarray(value) for value in norm.get_weights())
            kernel, bias = (np.asarray(value) for value in layer.get_weights())
            convolutions[_name_in_applications(layer.name)] = Convolution(kernel, bias, Norm(gamma, beta, mean, variance))
    stem = convolutions["conv1"]
    offset = (stem.kernel * (255 * GREY_MEAN - CAFFE_MEANS)[:, None]).sum(axis=(0, 1, 2))
    kernel = stem.kernel.sum(axis=2, keepdims=True) * 255 * GREY_DEVIATION
    convolutions["conv1"] = Convolution(kernel, stem.bias + offset, stem.norm)
    digest = sha256(b"".join(part.kernel.tobytes() for part in convolutions.values())).hexdigest()
    return Pretrained("keras-applications-resnet50-imagenet", digest, convolutions)


def load_pretrained(network: keras.Model, pretrained: Pretrained, films: NDArray[np.uint8]) -> int:
    """Copy what the network has a place for; returns how many convolutions. Where norm follows and the weights have it folded
    in, its mean and deviation are measured on `films` (count, size, size, 1), so that the network starts from the same
    function.

    Raises `ValueError` where a shape does not fit or no convolution was copied.
    """
    layers = {layer.name: layer for layer in network.layers}
    unmeasured: dict[str, Array] = {}
    copied = 0
    for name, convolution in pretrained.convolutions.items():
        if name not in layers:
            continue
        _check_shape(layers[name], convolution)
        norm = layers.get(f"{name}_norm")
        if norm is None:
            layers[name].set_weights(list(convolution.folded()))
        elif convolution.norm is not None:
            layers[name].set_weights([convolution.kernel])
            given = convolution.norm
            norm.set_weights([given.gamma, given.beta, given.mean - convolution.bias, given.variance])
        else:
            layers[name].set_weights([convolution.kernel])
            unmeasured[name] = convolution.bias
        copied += 1
    if not copied:
        raise ValueError(f"{pretrained.name} holds no convolution of this network.")
    _copy_others(network, pretrained.others)
    if unmeasured:
        _measure_norms(network, unmeasured, films[:: max(1, len(films) // CALIBRATION_FILMS)][:CALIBRATION_FILMS])
    return copied


def _measure_norms(network: keras.Model, biases: Mapping[str, Array], films: NDArray[np.uint8]) -> None:
    """With mean m and deviation d of a convolution's output, scale d and shift m + bias make its norm do nothing but add the
    folded bias: first by m = 0 and d = 1, which already is the right function, then by what that function puts out."""
    for name, bias in biases.items():
        _set_norm(network, name, bias, np.zeros_like(bias), np.ones_like(bias))
    outputs = [keras.ops.cast(network.get_layer(name).output, "float32") for name in biases]
    model = keras.Model(network.input, [keras.ops.stack(keras.ops.moments(each, axes=(0, 1, 2))) for each in outputs])
    size = min(CALIBRATION_BATCH, len(films))
    seen = [model.predict_on_batch(films[at : at + size].astype(np.float32)) for at in range(0, len(films) - size + 1, size)]
    for name, found in zip(biases, zip(*seen, strict=True), strict=True):
        means, variances = np.stack(found, axis=1)  # each (batches, channels)
        _set_norm(network, name, biases[name], means.mean(axis=0), variances.mean(axis=0) + means.var(axis=0))


def _set_norm(network: keras.Model, name: str, bias: Array, mean: Array, variance: Array) -> None:
    network.get_layer(f"{name}_norm").set_weights([np.sqrt(variance + EPSILON), mean + bias, mean, variance])


def _check_shape(layer: keras.layers.Layer, convolution: Convolution) -> None:
    if tuple(layer.kernel.shape) != convolution.kernel.shape:
        raise ValueError(f"{layer.name} needs the shape {tuple(layer.kernel.shape)}. Received: {convolution.kernel.shape}")


def _copy_others(network: keras.Model, others: Mapping[str, Array]) -> None:
    """The head of an earlier version, where it is of the same kind."""
    for variable in network.variables:
        if variable.path in others and tuple(variable.shape) == others[variable.path].shape:
            variable.assign(others[variable.path])


def _read_npz(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name], np.float32) for name in archive.files}
    except (OSError, BadZipFile, ValueError, AttributeError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not a readable NPZ file of weights.") from error


def _from_torchvision(name: str, arrays: Mapping[str, Array]) -> Convolution:
    kernel = arrays[f"{name}.weight"].transpose(2, 3, 1, 0)
    if name == "conv1":  # made for three colours, which a grey film has alike
        kernel = kernel.sum(axis=2, keepdims=True)
    bias = arrays.get(f"{name}.bias", np.zeros(kernel.shape[-1], np.float32))
    norm = name.replace("downsample.0", "downsample.1").replace("conv", "bn")
    if f"{norm}.weight" not in arrays:
        if f"{name}.bias" not in arrays:
            raise KeyError(name)
        return Convolution(kernel, bias)
    parts = (arrays[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var"))
    return Convolution(kernel, bias, Norm(*parts))


def _our_name(name: str) -> str:
    """`layer2.0.conv1` → `layer2_0_conv1`; torchvision calls the shortcut `downsample.0`."""
    return name.replace("downsample.0", "downsample").replace(".", "_")


def _name_in_applications(name: str) -> str:
    """`conv3_block1_2_conv` → `layer2_0_conv2`, `conv3_block1_0_conv` → `layer2_0_downsample`, `conv1_conv` → `conv1`."""
    match = re.fullmatch(r"conv(\d+)_block(\d+)_(\d+)_conv", name)
    if match is None:
        return name.removesuffix("_conv")
    stage, block, number = (int(part) for part in match.groups())
    return f"layer{stage - 1}_{block - 1}_" + (f"conv{number}" if number else "downsample")


def _download(config: NetworkConfig) -> Pretrained:
    if config.block != "bottleneck":
        raise ValueError("IMAGENET_WEIGHTS must name an NPZ file of ResNet weights: basic blocks have no download.")
    try:
        return from_keras_applications(keras.applications.ResNet50(weights="imagenet", include_top=False))
    except Exception as error:  # Keras raises a bare one for whatever went wrong on the way
        raise ValueError("The ImageNet weights cannot be downloaded; IMAGENET_WEIGHTS may name an NPZ file of them.") from error
