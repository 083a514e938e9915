"""What the gate knows of a film: the network's pooled features, and the film's layout, which pooling loses."""

import numpy as np
from numpy.typing import NDArray

from mlmodel.thumbnail import SIDE

CELLS = SIDE // 2  # of the layout, across and down: with another number no gate that was fitted before can be read


def describe(thumbnails: NDArray[np.float32], features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Thumbnails (count, side, side) and features (count, channels) → (count, channels + CELLS * CELLS / 2) float32.

    Square roots tame the features' long tails. The layout is that of the film and its mirror image, of mean zero and deviation
    one, so that neither brightness and contrast nor the side it was laid on matter.
    """
    return np.hstack([np.sqrt(np.maximum(features, 0)), layout(thumbnails)])


def layout(thumbnails: NDArray[np.float32]) -> NDArray[np.float32]:
    """(count, side, side) → (count, CELLS * CELLS / 2), row by row, left half of the symmetric thumbnail, half as fine."""
    symmetric = thumbnails[:, :, :CELLS] + thumbnails[:, :, : CELLS - 1 : -1]
    rows = symmetric[:, ::2] + symmetric[:, 1::2]
    flat = (rows[:, :, ::2] + rows[:, :, 1::2]).reshape(len(thumbnails), -1) / 8
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(flat.std(axis=1, keepdims=True), 1.0), np.float32)
