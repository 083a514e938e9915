"""Where the lungs lie on a frontal film, and how much of the heat lies there.

A drawn pair of lungs, dark between brighter ribs, spine and diaphragm, is laid over a thumbnail of the film at many places and
sizes; where it correlates best is the lung field. An opacity that hides half a lung hardly moves the best place, while a
threshold on grey values would cut it out of the very field that it lies in. numpy alone: a worker loads no image library.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlmodel.blas import one_thread
from mlmodel.heatmap import SIZE, sum_by_cell
from mlmodel.thumbnail import shrink

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


def shares_in_lung(films: NDArray[np.uint8], activations: NDArray[np.float32]) -> list[float | None]:
    """For each of films (count, size, size) the share (0 to 1) of what speaks for pneumonia in its activation (h, w) that lies
    in its lung field; None where nothing does."""
    if len(films) == 0:
        return []
    with one_thread():
        boxes = find_lungs(films)
    return [_share(np.maximum(activation, 0), box) for activation, box in zip(activations, boxes, strict=True)]


def choose_least_share(films: NDArray[np.uint8], activations: NDArray[np.float32]) -> float:
    """The share below which a finding is marked: that of the lowest hundredth of these films, all with pneumonia that was
    found; (count, size, size) and (count, h, w). 0, which marks none, where there are too few to say."""
    known = [share for share in shares_in_lung(films, activations) if share is not None]
    return float(np.quantile(known, LOWEST)) if len(known) >= 1 / LOWEST else 0.0


def find_lungs(films: NDArray[np.uint8]) -> list[Box]:
    """For each of films (count, size, size) the box on whose drawn lungs it is darkest against what surrounds them, by
    normalised correlation."""
    greys = shrink(films, THUMBNAIL) / np.float32(255)
    bank = _bank()
    mean = _sums_within(bank.corners, greys) / bank.counts
    deviation = np.sqrt(np.maximum(_sums_within(bank.corners, greys * greys) / bank.counts - mean * mean, 1e-4))
    correlation = -(greys.reshape(len(films), -1) @ bank.patterns.T) / (deviation * np.sqrt(bank.counts))
    return [bank.boxes[best] for best in (correlation + bank.likely).argmax(axis=1)]


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


class _Bank(NamedTuple):
    """Boxes; patterns (boxes, pixels) of mean zero and length one within their windows; the windows' corners (4, boxes) in the
    flattened table of `_sums_within` and their counts of pixels; what is added to each box' correlation for how usual it is."""

    boxes: list[Box]
    patterns: NDArray[np.float32]
    corners: NDArray[np.intp]
    counts: NDArray[np.float64]
    likely: NDArray[np.float64]


@lru_cache(maxsize=1)
def _bank() -> _Bank:
    boxes, patterns, corners, counts = [], [], [], []
    points = (np.arange(THUMBNAIL) + 0.5) / THUMBNAIL
    for box in (Box(0.5 + x, 0.47 + y, width, height) for width in WIDTHS for height in HEIGHTS for x in ACROSS for y in DOWN):
        columns = np.flatnonzero(np.abs(points - box.x) <= (0.5 + MARGIN / 2) * box.width)
        rows = np.flatnonzero(np.abs(points - box.y) <= (0.5 + MARGIN) * box.height)
        count = len(rows) * len(columns)
        window = np.zeros((THUMBNAIL, THUMBNAIL), np.float32)
        window[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = 1
        lungs = draw_field(box, THUMBNAIL)
        pattern = (lungs - lungs.sum() / count) * window
        boxes.append(box)
        patterns.append((pattern / np.linalg.norm(pattern)).ravel())
        upper, lower = rows[0] * (THUMBNAIL + 1), (rows[-1] + 1) * (THUMBNAIL + 1)
        left, right = columns[0], columns[-1] + 1
        corners.append((upper + left, upper + right, lower + left, lower + right))
        counts.append(float(count))
    unusual = ((np.array(boxes) - USUAL) / SPREAD) ** 2
    return _Bank(boxes, np.stack(patterns), np.array(corners).T, np.array(counts), -PRIOR * unusual.sum(axis=1))


def _sums_within(corners: NDArray[np.intp], values: NDArray[np.float32]) -> NDArray[np.float64]:
    """(count, size, size) → (count, boxes): the sum within each window, by a summed-area table (Crow, SIGGRAPH 1984)."""
    count, size = values.shape[:2]
    table = np.zeros((count, size + 1, size + 1))
    np.cumsum(np.cumsum(values, axis=1, dtype=np.float64), axis=2, out=table[:, 1:, 1:])
    upper_left, upper_right, lower_left, lower_right = table.reshape(count, -1).take(corners, axis=1).swapaxes(0, 1)
    return np.asarray(lower_right - lower_left - upper_right + upper_left)


def _share(heat: NDArray[np.float32], box: Box) -> float | None:
    inside, everywhere = _weights_of_cells(box, heat.shape)
    total = float((heat * everywhere).sum())
    return float((heat * inside).sum()) / total if total > 1e-9 else None


@lru_cache(maxsize=1024)
def _weights_of_cells(box: Box, shape: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(h, w): how much of the heat that a cell is drawn with lies in the lung field, and how much there is. There are no more
    boxes than those of `_bank`."""
    field = draw_field(box, SIZE, grow=0.03)
    return sum_by_cell(field, shape), sum_by_cell(np.ones_like(field), shape)
