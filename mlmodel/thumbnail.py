"""Films shrunk to a few cells, for whoever needs no more of them than that: the gate, and the search for the lungs."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SIDE = 32  # cells


def shrink(films: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(count, size, size) uint8 → thumbnails (count, `SIDE`, `SIDE`) float32, 0 to 255, each cell the mean of what it covers.
    Two small matrix products a film."""
    cells = _cells(films.shape[-1])
    return np.asarray(cells @ films.astype(np.float32) @ cells.T)


@lru_cache(maxsize=8)
def _cells(size: int) -> NDArray[np.float32]:
    """(`SIDE`, size): which share of a cell each pixel of a row covers. Pixels on an edge are shared out, so that all cells are
    alike, and four of them are one of a thumbnail half as fine."""
    edges = np.arange(SIDE + 1) * size / SIDE
    pixels = np.arange(size)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.maximum(covered, 0) * SIDE / size).astype(np.float32)
