"""Where the lungs lie on a frontal film, and how much of the heat lies there.

A drawn pair of lungs, dark between brighter ribs, spine and diaphragm, is laid over a thumbnail of the film at many places and
sizes; where it correlates best is the lung field. An opacity that hides half a lung hardly moves the best place, while a
threshold on grey values would cut it out of the very field that it lies in. numpy alone: a worker loads no image library.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlmodel.heatmap import SIZE, upsample

THUMBNAIL = 32  # pixels a side, for the search
WIDTHS = (0.56, 0.64, 0.72, 0.8, 0.88, 0.96)  # of the pair of lungs, in sides of the film
HEIGHTS = (0.48, 0.56, 0.64, 0.72, 0.8, 0.88)
ACROSS = (-0.12, -0.06, 0.0, 0.06, 0.12)  # of its middle from the film's
DOWN = (-0.14, -0.07, 0.0, 0.07, 0.14)
USUAL, SPREAD = (0.5, 0.52, 0.75, 0.7), (0.1, 0.12, 0.18, 0.16)  # of `Box`, on pediatric films
PRIOR = 0.04  # of correlation, for every squared deviation from what is usual
LOWEST = 0.01
MARGIN = 0.12  # of the box, around it: what the lungs are compared with
# The outline of one lung in its box, 0 the film's midline or the apex, 1 the side or the lowest corner
ROWS = (0.0, 0.06, 0.2, 0.5, 0.8, 1.0)
OUTER = (0.3, 0.52, 0.74, 0.9, 0.98, 1.0)
INNER = (0.28, 0.14, 0.12, 0.14, 0.18, 0.18)
COLUMNS = (0.0, 0.45, 0.8, 1.0)
DOME = (0.9, 0.84, 0.92, 1.0)  # how far down the lung reaches there


class Box(NamedTuple):
    """The pair of lungs: middle, width and height in sides of the film."""

    x: float
    y: float
    width: float
    height: float


def share_in_lung(film: NDArray[np.uint8], activation: NDArray[np.float32]) -> float | None:
    """The share (0 to 1) of what speaks for pneumonia in `activation` (h, w) that lies in the lung field of the film (size,
    size); None where nothing does."""
    heat = np.maximum(upsample(np.maximum(activation, 0)), 0)
    total = float(heat.sum())
    if total <= 1e-9:
        return None
    return float((heat * draw_field(find_lungs(film), SIZE, grow=0.03)).sum()) / total


def choose_least_share(films: NDArray[np.uint8], activations: NDArray[np.float32]) -> float:
    """The share below which a finding is marked: that of the lowest hundredth of these films, all with pneumonia that was
    found; (count, size, size) and (count, h, w). 0, which marks none, where there are too few to say."""
    shares = [share_in_lung(film, activation) for film, activation in zip(films, activations, strict=True)]
    known = [share for share in shares if share is not None]
    return float(np.quantile(known, LOWEST)) if len(known) >= 1 / LOWEST else 0.0


def find_lungs(film: NDArray[np.uint8]) -> Box:
    """The box on whose drawn lungs the film (size, size) is darkest against what surrounds them, by normalised correlation."""
    size = len(film)
    edges = np.arange(THUMBNAIL) * size // THUMBNAIL
    extents = np.diff(np.append(edges, size)).astype(np.float32)
    small = np.add.reduceat(np.add.reduceat(film, edges, axis=0, dtype=np.uint32), edges, axis=1) / np.outer(extents, extents)
    grey = np.asarray(small / 255, np.float32).ravel()
    boxes, patterns, windows, counts, likely = _bank()
    mean = _dot(windows, grey) / counts
    deviation = np.sqrt(np.maximum(_dot(windows, grey * grey) / counts - mean * mean, 1e-4))
    correlation = -_dot(patterns, grey) / (deviation * np.sqrt(counts))
    return boxes[int(np.argmax(correlation + likely))]


def draw_field(box: Box, size: int, *, grow: float = 0.0) -> NDArray[np.float32]:
    """(size, size), one inside either lung, else nothing; `grow` widens the outline by so many sides of the film, since a cell
    of the map is no finer."""
    points = (np.arange(size) + 0.5) / size
    across = np.abs(points - box.x)[None, :] / (box.width / 2)
    down = ((points - box.y) / box.height + 0.5)[:, None]
    sideways, upward = grow / (box.width / 2), grow / box.height
    inside = (across <= np.interp(down, ROWS, OUTER) + sideways) & (across >= np.interp(down, ROWS, INNER) - sideways)
    floor = np.interp(across, COLUMNS, DOME)
    return np.asarray(inside & (down >= -upward) & (down <= floor + upward), np.float32)


@lru_cache(maxsize=1)
def _bank() -> tuple[list[Box], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Boxes; patterns (boxes, pixels) of mean zero and length one within windows (boxes, pixels) of `counts` pixels; what is
    added to each box' correlation for how usual it is."""
    boxes, patterns, windows = [], [], []
    points = (np.arange(THUMBNAIL) + 0.5) / THUMBNAIL
    for box in (Box(0.5 + x, 0.47 + y, width, height) for width in WIDTHS for height in HEIGHTS for x in ACROSS for y in DOWN):
        lungs = draw_field(box, THUMBNAIL)
        near = (np.abs(points - box.x) <= (0.5 + MARGIN / 2) * box.width)[None, :]
        window = (near & (np.abs(points - box.y) <= (0.5 + MARGIN) * box.height)[:, None]).astype(np.float32)
        pattern = (lungs - lungs.sum() / window.sum()) * window
        boxes.append(box)
        windows.append(window.ravel())
        patterns.append((pattern / np.linalg.norm(pattern)).ravel())
    stacked = np.stack(windows)
    unusual = ((np.array(boxes) - USUAL) / SPREAD) ** 2
    return boxes, np.stack(patterns), stacked, stacked.sum(axis=1), np.asarray(-PRIOR * unusual.sum(axis=1), np.float32)


def _dot(matrix: NDArray[np.float32], vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without BLAS, whose threads would wait for the engine's cores longer than they save."""
    return np.asarray(np.einsum("ij,j->i", matrix, vector), np.float32)
