"""The serving graph: uint8 film in; logit, class-activation map and pooled features out, from one forward pass.

Film and mirror image are read together and averaged, so that the answer does not depend on which way round the film was laid.
"""

import re
from typing import Any

import keras

from mlmodel.network import FEATURE_MAP


class LogitAndActivation(keras.layers.Layer):
    """(batch, h, w, channels) → logit (batch, 1) and its Grad-CAM (batch, h, w) before the final ReLU.

    The map is sum_k a_k A_k with a_k the mean gradient of the logit over channel k (Selvaraju et al., Grad-CAM, ICCV 2017).
    After global pooling the head is at most a few Dense, norm and ReLU layers, whose gradient is written down here instead of
    taped: a ReLU passes where its input was positive, a norm scales by gamma / sqrt(variance + epsilon), a Dense by its
    transposed kernel. With the `linear` head this is CAM (Zhou et al., CVPR 2016) itself.
    """

    def __init__(self, network: keras.Model, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        names = {layer.name for layer in network.layers}
        self.hidden = [
            (network.get_layer(f"head{index}_dense"), network.get_layer(f"head{index}_norm"))
            for index in (1, 2)
            if f"head{index}_dense" in names
        ]
        self.logit = network.get_layer("logit")

    def call(self, maps: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        ops = keras.ops
        x = ops.mean(maps, axis=(1, 2))
        passes = []
        for dense, norm in self.hidden:
            before = norm(dense(x), training=False)
            slope = norm.gamma / ops.sqrt(norm.moving_variance + norm.epsilon)
            passes.append((dense, ops.cast(before > 0, "float32") * slope))
            x = ops.relu(before)
        logit = self.logit(x)
        gradient = ops.ones_like(logit) * ops.transpose(self.logit.kernel)
        for dense, factor in reversed(passes):
            gradient = ops.matmul(gradient * factor, ops.transpose(dense.kernel))
        cells = maps.shape[1] * maps.shape[2]
        return logit, ops.sum(maps * ops.expand_dims(gradient, (1, 2)), axis=-1) / cells

    def compute_output_shape(self, maps_shape: tuple[int | None, ...]) -> tuple[tuple[int | None, ...], ...]:
        return (maps_shape[0], 1), maps_shape[:3]


def build_serving_model(network: keras.Model) -> keras.Model:
    """uint8 (batch, size, size, 1) → logit (batch, 1), activation (batch, h, w), features (batch, channels of all stages), each
    the mean over film and mirror image; float32.

    The activation is laid out as the film is; its ReLU and upsampling are left to `mlmodel.heatmap`. The features are what
    `mlmodel.gate` knows a strange film by, so that it needs no pass of its own.
    """
    size = network.input_shape[1]
    maps = [network.get_layer(FEATURE_MAP).output, *(layer.output for layer in stage_ends(network))]
    trunk = keras.Model(network.input, maps, name="features")
    film = keras.Input((size, size, 1), dtype="uint8", name="film")
    x = keras.layers.Lambda(_with_mirror, output_shape=(size, size, 1), dtype="float32", name="with_mirror")(film)
    last, *stages = trunk(x)
    logit, activation = LogitAndActivation(network, name="class_activation")(last)
    both = keras.layers.Lambda(_mean_of_pair, output_shape=(1,), name="mean_logit")(logit)
    seen = keras.layers.Lambda(_mean_of_maps, output_shape=activation.shape[1:], name="mean_activation")(activation)
    pooled = [
        keras.layers.GlobalAveragePooling2D(dtype="float32", name=f"pool_stage{index}")(stage)
        for index, stage in enumerate(stages, start=1)
    ]
    known = keras.layers.Concatenate(dtype="float32", name="pooled_stages")(pooled) if len(pooled) > 1 else pooled[0]
    known = keras.layers.Lambda(_mean_of_pair, output_shape=known.shape[1:], dtype="float32", name="mean_features")(known)
    return keras.Model(film, {"logit": both, "activation": seen, "features": known}, name="serving")


def stage_ends(network: keras.Model) -> list[keras.layers.Layer]:
    """The last layer of each stage of the ResNet, in order; of several towers, one after the other. Raises `ValueError` for a
    network that has no stages."""
    ends: dict[tuple[int, int], tuple[int, keras.layers.Layer]] = {}
    for layer in network.layers:
        if match := re.fullmatch(r"(?:tower(\d+)_)?layer(\d+)_(\d+)_out", layer.name):
            stage, block = (int(match[1] or 1), int(match[2])), int(match[3])
            ends[stage] = max(ends.get(stage, (block, layer)), (block, layer), key=lambda end: end[0])
    if not ends:
        raise ValueError(f"A network to serve has stages named layer<stage>_<block>_out. Received: {network.name}")
    return [ends[stage][1] for stage in sorted(ends)]


def _with_mirror(film: keras.KerasTensor) -> keras.KerasTensor:
    """(batch, ...) → (2 x batch, ...): each film followed by its mirror image."""
    film = keras.ops.cast(film, "float32")
    pairs = keras.ops.stack([film, keras.ops.flip(film, axis=2)], axis=1)
    return keras.ops.reshape(pairs, (-1, *film.shape[1:]))


def _mean_of_pair(values: keras.KerasTensor) -> keras.KerasTensor:
    return keras.ops.mean(keras.ops.reshape(values, (-1, 2, values.shape[-1])), axis=1)


def _mean_of_maps(activation: keras.KerasTensor) -> keras.KerasTensor:
    pairs = keras.ops.reshape(activation, (-1, 2, *activation.shape[1:]))
    return (pairs[:, 0] + keras.ops.flip(pairs[:, 1], axis=2)) / 2
