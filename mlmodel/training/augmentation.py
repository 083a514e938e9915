"""Augmentation as a Keras layer: whole batches, on the device, with Keras' own random numbers."""

from typing import Any

import keras

from mlmodel.training.recipe import AugmentationConfig


class Augment(keras.layers.Layer):
    """(batch, size, size, 1) in 0 to 255 → the same, each film changed in its own way; unchanged outside training."""

    def __init__(self, config: AugmentationConfig, *, seed: int, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.config = config
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, films: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        films = keras.ops.cast(films, "float32")
        return self._change_greys(self._move(films)) if training else films

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return shape

    def _move(self, films: keras.KerasTensor) -> keras.KerasTensor:
        """Rotation, zoom, stretch, shift and flip in one interpolation, about the film's middle; black beyond its edge."""
        ops, config = keras.ops, self.config
        count, middle = ops.shape(films)[0], (films.shape[1] - 1) / 2
        angle = self._uniform(count, config.rotation) * (3.141592653589793 / 180)
        zoom, stretch = 1 + self._uniform(count, config.zoom), self._uniform(count, config.stretch)
        mirror = ops.sign(keras.random.uniform((count,), -1, 1, seed=self.seed_generator)) if config.flip else ops.ones(count)
        across, down = mirror * zoom * (1 + stretch), zoom * (1 - stretch)
        a, b = ops.cos(angle) * across, -ops.sin(angle) * down
        c, d = ops.sin(angle) * across, ops.cos(angle) * down
        x = middle - a * middle - b * middle + self._uniform(count, config.shift * films.shape[2])
        y = middle - c * middle - d * middle + self._uniform(count, config.shift * films.shape[1])
        nothing = ops.zeros_like(a)
        transform = ops.stack([a, b, x, c, d, y, nothing, nothing], axis=1)
        return ops.image.affine_transform(films, transform, interpolation="bilinear", fill_mode="constant")

    def _change_greys(self, films: keras.KerasTensor) -> keras.KerasTensor:
        """Gamma, contrast, brightness; blur and noise, which is how copies of one film differ in size and JPEG quality.
        What has no strength costs nothing."""
        ops, config = keras.ops, self.config
        count = ops.shape(films)[0]

        def each(limit: float) -> keras.KerasTensor:
            return ops.reshape(self._uniform(count, limit), (-1, 1, 1, 1))

        x = films / 255
        if config.gamma:
            x = ops.clip(x, 1e-4, 1) ** ops.exp(each(config.gamma))
        if config.contrast:
            mean = ops.mean(x, axis=(1, 2, 3), keepdims=True)
            x = (x - mean) * (1 + each(config.contrast)) + mean
        if config.brightness:
            x = x + each(config.brightness)
        if config.blur:
            x = x + each(config.blur) * (ops.average_pool(x, 3, 1, padding="same") - x)
        if config.noise:
            x = x + keras.random.normal(ops.shape(x), seed=self.seed_generator) * each(config.noise)
        return 255 * ops.clip(x, 0, 1)

    def _uniform(self, count: Any, limit: float) -> keras.KerasTensor:
        return keras.random.uniform((count,), -limit, limit, seed=self.seed_generator)
