"""The same films as another day, another hospital or another device might have stored them: what a search judges by.

Held-out films of the hospital that a network learned from are easy, and every split of them has the same habits. So it is
judged on them as they are, with the outlines and the tones of the classes changed (`mlmodel.training.outline` and `tones`
say why), and changed more widely than it was trained on.
"""

from collections.abc import Callable, Mapping

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlmodel.evaluation.robustness import CHANGES
from mlmodel.training.augmentation import Augment
from mlmodel.training.recipe import AugmentationConfig
from mlmodel.training.tones import swap_tones

Films = NDArray[np.uint8]
Truth = NDArray[np.float32]
AS_THEY_ARE = "as they are"
WIDE, NARROW = CHANGES["cropped to a wider outline"], CHANGES["cropped to a narrower outline"]
STRONG = AugmentationConfig(
    rotation=6, shift=0.06, zoom=0.15, stretch=0.1, flip=False, brightness=0.15, contrast=0.45, gamma=0.6, noise=0.05, blur=1.0
)
HALFWAY = 0.5  # to the histogram of a film of the other class: all the way, no two classes would be left
BATCH = 64


def _keep(films: Films, truth: Truth) -> Films:
    return films


def _widen_normals(films: Films, truth: Truth) -> Films:
    return np.stack([film if sick else _change(film, WIDE) for film, sick in zip(films, truth, strict=True)])


def _swap_outlines(films: Films, truth: Truth) -> Films:
    return np.stack([_change(film, NARROW if sick else WIDE) for film, sick in zip(films, truth, strict=True)])


def _swap_tones(films: Films, truth: Truth) -> Films:
    return swap_tones(films, truth, share=HALFWAY, seed=0)


def _vary_strongly(films: Films, truth: Truth) -> Films:
    """Each film in its own way, by the same numbers whenever the same films are asked for."""
    change = Augment(STRONG, seed=len(films))
    parts = [keras.ops.convert_to_numpy(change(films[at : at + BATCH], training=True)) for at in range(0, len(films), BATCH)]
    return np.rint(np.concatenate(parts)).astype(np.uint8)


def _change(film: NDArray[np.uint8], change: Callable[[Image.Image], Image.Image]) -> NDArray[np.uint8]:
    return np.asarray(change(Image.fromarray(film[:, :, 0])), np.uint8)[:, :, None]


# Films (count, size, size, 1) and truth (count,) → the films, changed
SHIFTS: Mapping[str, Callable[[Films, Truth], Films]] = {
    AS_THEY_ARE: _keep,
    "normals wide": _widen_normals,
    "outlines swapped": _swap_outlines,
    "tones swapped": _swap_tones,
    "strongly varied": _vary_strongly,
}
