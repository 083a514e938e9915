"""What the gate knows of a film: the network's pooled features, and the film's layout, which pooling loses."""

import numpy as np
from numpy.typing import NDArray

from mlmodel.thumbnail import shrink

CELLS = 16  # of the layout, across and down


def describe(films: NDArray[np.uint8], features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Films (count, size, size) and features (count, channels) → (count, channels + CELLS * CELLS / 2) float32.

    Square roots tame the features' long tails. The layout is a thumbnail of the film and its mirror image, of mean zero and
    deviation one, so that neither brightness and contrast nor the side it was laid on matter.
    """
    return np.hstack([np.sqrt(np.maximum(features, 0)), layout(films)]).astype(np.float32)


def layout(films: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(count, size, size) → (count, CELLS * CELLS / 2), row by row, left half of the symmetric thumbnail. Raises `ValueError`
    for films smaller than `CELLS`."""
    cells = shrink(films, CELLS)
    half = (cells[:, :, : CELLS // 2] + cells[:, :, : CELLS // 2 - 1 : -1]) / 2
    flat = half.reshape(len(films), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(flat.std(axis=1, keepdims=True), 1.0), np.float32)
