"""Films shrunk to a few cells, for what needs no more of them than their layout."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def shrink(films: NDArray[np.uint8], cells: int) -> NDArray[np.float32]:
    """(count, size, size) → (count, cells, cells), each cell the mean of its pixels. Raises `ValueError` for films with fewer
    pixels a side than cells.

    Two small matrix products a film: their sums are of integers under 2 ** 24, which float32 holds exactly.
    """
    size = films.shape[-1]
    if size < cells:
        raise ValueError(f"A film has at least {cells} pixels a side. Received: {size}")
    members, pixels = _cells(size, cells)
    return np.asarray(members @ films.astype(np.float32) @ members.T / pixels)


@lru_cache(maxsize=8)
def _cells(size: int, cells: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(cells, size): which pixels of a row belong to which cell; (cells, cells): how many pixels each has."""
    edges = np.arange(cells + 1) * size // cells
    pixels = np.arange(size)
    members = ((pixels >= edges[:-1, None]) & (pixels < edges[1:, None])).astype(np.float32)
    extents = members.sum(axis=1)
    return members, np.outer(extents, extents)
