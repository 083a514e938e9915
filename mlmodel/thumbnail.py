"""Films shrunk to a few cells, for who needs no more of them than that: the gate, and the search for the lungs."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SIDE = 32  # cells


def shrink(films: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(count, size, size) → thumbnails (count, `SIDE`, `SIDE`), each cell the mean of its pixels. Raises `ValueError` for films
    with fewer pixels a side than that.

    Two small matrix products a film: their sums are of integers under 2 ** 24, which float32 holds exactly.
    """
    size = films.shape[-1]
    if size < SIDE:
        raise ValueError(f"A film has at least {SIDE} pixels a side. Received: {size}")
    members, pixels = _cells(size)
    return np.asarray(members @ films.astype(np.float32) @ members.T / pixels)


@lru_cache(maxsize=8)
def _cells(size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(`SIDE`, size): which pixels of a row belong to which cell; (`SIDE`, `SIDE`): how many pixels each has."""
    edges = np.arange(SIDE + 1) * size // SIDE
    pixels = np.arange(size)
    members = ((pixels >= edges[:-1, None]) & (pixels < edges[1:, None])).astype(np.float32)
    extents = members.sum(axis=1)
    return members, np.outer(extents, extents)
