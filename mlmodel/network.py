"""The network: a ResNet on grey films with one logit, in Keras 3 alone.

`He et al., Deep Residual Learning for Image Recognition, CVPR 2016`, with torchvision's symmetric padding, so that ImageNet
weights fit. Input: (batch, size, size, 1), values 0 to 255; output: (batch, 1) logit of pneumonia, float32.
"""

import re
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import keras

GREY_MEAN, GREY_DEVIATION = 0.449, 0.226  # ImageNet's, averaged over the three colours
LEAST_VARIANCE = 1e-4  # a blank film must not be divided by nothing
FEATURE_MAP = "feature_map"
MAX_INPUT_SIZE = 1024


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """What the builder needs. `blocks` and `widths` have one entry per stage; `head` is `linear` (pooling, then one Dense) or
    `reference` (pooling, then twice Dense 256 with L2 0.001, batch norm, ReLU and dropout, then one Dense). `towers` counts
    such ResNets side by side, whose last maps the head reads together: with a linear head, the mean of an ensemble's logits.
    `standardise` gives each film mean zero and deviation one, instead of what ImageNet has. `stochastic_depth` is the share of
    a batch that leaves out the last block; earlier ones have less, in proportion to their depth."""

    input_size: int = 224
    blocks: tuple[int, ...] = (2, 2, 2)
    widths: tuple[int, ...] = (64, 128, 256)
    block: Literal["basic", "bottleneck"] = "basic"
    norm: Literal["none", "batch"] = "none"
    head: Literal["linear", "reference"] = "linear"
    head_width: int = 256
    dropout: float = 0.3
    towers: int = 1
    standardise: bool = False
    stochastic_depth: float = 0.0

    def __post_init__(self) -> None:
        if len(self.blocks) != len(self.widths) or not self.blocks:
            raise ValueError(f"blocks and widths name the same stages. Received: {self.blocks} and {self.widths}")
        for name, allowed in (
            ("block", {"basic", "bottleneck"}),
            ("norm", {"none", "batch"}),
            ("head", {"linear", "reference"}),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is one of {sorted(allowed)}. Received: {getattr(self, name)!r}")
        if min(*self.blocks, *self.widths, self.head_width) < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"blocks, widths and head_width are at least 1, dropout in [0, 1). Received: {self}")
        if not 0 <= self.stochastic_depth < 1:
            raise ValueError(f"stochastic_depth is in [0, 1). Received: {self.stochastic_depth}")
        if not self.stride <= self.input_size <= MAX_INPUT_SIZE:
            raise ValueError(f"input_size is in [{self.stride}, {MAX_INPUT_SIZE}]. Received: {self.input_size}")

    @property
    def stride(self) -> int:
        """Film pixels from one cell of the last map to the next."""
        return int(2 ** (1 + len(self.blocks)))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "NetworkConfig":
        """The inverse of `as_dict`, also after JSON. Raises `ValueError` for an unknown or impossible value."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"The network has no setting {sorted(unknown)}.")
        given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls(**given)


class StandardiseFilm(keras.layers.Layer):
    """Greys 0 to 255 → mean zero and deviation one, film by film: how it was exposed does not matter."""

    def call(self, films: keras.KerasTensor) -> keras.KerasTensor:
        films = keras.ops.cast(films, "float32") / 255
        mean, variance = keras.ops.moments(films, axes=(1, 2, 3), keepdims=True)
        return (films - mean) * keras.ops.rsqrt(variance + LEAST_VARIANCE)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return shape


class StochasticDepth(keras.layers.Layer):
    """Leaves a block's branch out of some films of a batch, in training alone (Huang et al., ECCV 2016)."""

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, branch: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        if not training:
            return branch
        drawn = keras.random.uniform((keras.ops.shape(branch)[0], 1, 1, 1), seed=self.seed_generator)
        return branch * (keras.ops.cast(drawn >= self.rate, branch.dtype) / (1 - self.rate))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return shape


def build_network(config: NetworkConfig, *, dtype: str = "float32") -> keras.Model:
    """The untrained network. `dtype` is the policy of its layers, `float32`, `mixed_bfloat16` or `mixed_float16`."""
    builder = _Builder(config, dtype)
    film = keras.Input((config.input_size, config.input_size, 1), name="film")
    return keras.Model(film, builder.head(builder.features(film)), name="pneumonia_resnet")


def tower_prefix(index: int) -> str:
    """What the names of a tower's layers begin with; the first one's are those of a network that has no other."""
    return "" if index == 0 else f"tower{index + 1}_"


class _Builder:
    def __init__(self, config: NetworkConfig, dtype: str) -> None:
        self.config, self.dtype = config, dtype

    def features(self, film: keras.KerasTensor) -> keras.KerasTensor:
        """(batch, size, size, 1) → (batch, size / stride, size / stride, channels of all towers)."""
        if self.config.standardise:
            x = StandardiseFilm(dtype="float32", name="scale")(film)
        else:
            offset = -GREY_MEAN / GREY_DEVIATION
            x = keras.layers.Rescaling(1 / (255 * GREY_DEVIATION), offset=offset, dtype=self.dtype, name="scale")(film)
        towers = [self._tower(x, tower_prefix(index)) for index in range(self.config.towers)]
        whole = keras.layers.Concatenate(dtype=self.dtype, name="towers")(towers) if len(towers) > 1 else towers[0]
        return keras.layers.Activation("linear", dtype="float32", name=FEATURE_MAP)(whole)

    def _tower(self, x: keras.KerasTensor, prefix: str) -> keras.KerasTensor:
        x = self._relu(self._conv(x, self.config.widths[0], 7, 2, f"{prefix}conv1"), f"{prefix}conv1_relu")
        # ReLU leaves nothing below zero, so that padding with zeros equals padding with -inf
        x = keras.layers.ZeroPadding2D(1, dtype=self.dtype, name=f"{prefix}pool1_pad")(x)
        x = keras.layers.MaxPooling2D(3, 2, dtype=self.dtype, name=f"{prefix}pool1")(x)
        block = self._basic if self.config.block == "basic" else self._bottleneck
        for stage, (count, width) in enumerate(zip(self.config.blocks, self.config.widths, strict=True), start=1):
            for index in range(count):
                x = block(x, width, 2 if stage > 1 and index == 0 else 1, f"{prefix}layer{stage}_{index}")
        return x

    def head(self, features: keras.KerasTensor) -> keras.KerasTensor:
        config = self.config
        x = keras.layers.GlobalAveragePooling2D(dtype="float32", name="pool")(features)
        for index in range(1, 3 if config.head == "reference" else 1):
            x = keras.layers.Dense(
                config.head_width, kernel_regularizer=keras.regularizers.L2(0.001), dtype="float32", name=f"head{index}_dense"
            )(x)
            x = keras.layers.BatchNormalization(dtype="float32", name=f"head{index}_norm")(x)
            x = keras.layers.ReLU(dtype="float32", name=f"head{index}_relu")(x)
            x = keras.layers.Dropout(config.dropout, dtype="float32", name=f"head{index}_dropout")(x)
        if config.head == "linear":
            x = keras.layers.Dropout(config.dropout, dtype="float32", name="dropout")(x)
        return keras.layers.Dense(1, dtype="float32", name="logit")(x)

    def _basic(self, x: keras.KerasTensor, width: int, stride: int, name: str) -> keras.KerasTensor:
        y = self._relu(self._conv(x, width, 3, stride, f"{name}_conv1"), f"{name}_relu1")
        y = self._conv(y, width, 3, 1, f"{name}_conv2", last=True)
        return self._join(x, y, width, stride, name)

    def _bottleneck(self, x: keras.KerasTensor, width: int, stride: int, name: str) -> keras.KerasTensor:
        y = self._relu(self._conv(x, width, 1, 1, f"{name}_conv1"), f"{name}_relu1")
        y = self._relu(self._conv(y, width, 3, stride, f"{name}_conv2"), f"{name}_relu2")
        y = self._conv(y, 4 * width, 1, 1, f"{name}_conv3", last=True)
        return self._join(x, y, 4 * width, stride, name)

    def _join(self, x: keras.KerasTensor, y: keras.KerasTensor, width: int, stride: int, name: str) -> keras.KerasTensor:
        if stride > 1 or x.shape[-1] != width:
            x = self._conv(x, width, 1, stride, f"{name}_downsample")
        if self.config.stochastic_depth:
            y = StochasticDepth(self.config.stochastic_depth * self._depth_of(name), dtype=self.dtype, name=f"{name}_depth")(y)
        return self._relu(keras.layers.Add(dtype=self.dtype, name=f"{name}_add")([y, x]), f"{name}_out")

    def _depth_of(self, name: str) -> float:
        """How far up the block of that name stands, above 0 to 1."""
        stage, index = (int(number) for number in re.findall(r"\d+", name)[-2:])
        return (sum(self.config.blocks[: stage - 1]) + index + 1) / sum(self.config.blocks)

    def _conv(
        self, x: keras.KerasTensor, width: int, kernel: int, stride: int, name: str, *, last: bool = False
    ) -> keras.KerasTensor:
        """A convolution padded by kernel // 2 on every side, then its norm. The `last` one of a block starts at zero, so that
        the block starts as the identity: without it a deep network without norm does not train (Zhang et al., Fixup, ICLR
        2019)."""
        batch_norm = self.config.norm == "batch"
        if stride > 1 and kernel > 1:
            x = keras.layers.ZeroPadding2D(kernel // 2, dtype=self.dtype, name=f"{name}_pad")(x)
        x = keras.layers.Conv2D(
            width,
            kernel,
            stride,
            padding="valid" if stride > 1 else "same",
            use_bias=not batch_norm,
            kernel_initializer="zeros" if last and not batch_norm else "he_normal",
            dtype=self.dtype,
            name=name,
        )(x)
        if not batch_norm:
            return x
        gamma = "zeros" if last else "ones"
        return keras.layers.BatchNormalization(epsilon=1e-5, gamma_initializer=gamma, dtype=self.dtype, name=f"{name}_norm")(x)

    def _relu(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return keras.layers.ReLU(dtype=self.dtype, name=name)(x)
