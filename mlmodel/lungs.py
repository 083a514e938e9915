"""Where the lungs lie on a frontal film, and how much of the heat lies there.

A drawn pair of lungs, dark between brighter ribs, spine and diaphragm, is laid over a thumbnail of the film at many places and
sizes; where it correlates best is the lung field. An opacity that hides half a lung hardly moves the best place, while a
threshold on grey values would cut it out of the very field that it lies in. numpy alone: a worker loads no image library.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mlmodel.heatmap import CELL, sum_by_cell
from mlmodel.thumbnail import SIDE

WIDTHS = (0.56, 0.64, 0.72, 0.8, 0.88, 0.96)  # of the pair of lungs, in sides of the film
HEIGHTS = (0.48, 0.56, 0.64, 0.72, 0.8, 0.88)
MIDDLE = (0.5, 0.47)  # of the places where it is looked for, in sides of the film
REACH, STEP = 4, 2  # from there, in each direction: whole pixels
PLACES = tuple(step / SIDE for step in range(-REACH, REACH + 1, STEP))
GRID = (len(HEIGHTS), len(PLACES), len(WIDTHS), len(PLACES))
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


def shares_in_lung(thumbnails: NDArray[np.float32], activations: NDArray[np.float32]) -> list[float | None]:
    """For each of the films' thumbnails (count, side, side) the share (0 to 1) of what speaks for pneumonia in its activation
    (cells, cells) that lies in its lung field; None where nothing does."""
    if len(thumbnails) == 0:
        return []
    boxes = find_lungs(thumbnails)
    return [_share(np.maximum(activation, 0), box) for activation, box in zip(activations, boxes, strict=True)]


def choose_least_share(thumbnails: NDArray[np.float32], activations: NDArray[np.float32]) -> float:
    """The share below which a finding is marked: that of the lowest hundredth of these films, all with pneumonia that was
    found; (count, side, side) and (count, cells, cells). 0, which marks none, where there are too few to say."""
    known = [share for share in shares_in_lung(thumbnails, activations) if share is not None]
    return float(np.quantile(known, LOWEST)) if len(known) >= 1 / LOWEST else 0.0


def find_lungs(thumbnails: NDArray[np.float32]) -> list[Box]:
    """For each of (count, side, side) the box on whose drawn lungs it is darkest against what surrounds them, by normalised
    correlation."""
    greys, bank = thumbnails / np.float32(255), _bank()
    mean, power = (_sums_within(bank.rows, bank.columns, values) / bank.counts for values in (greys, greys * greys))
    deviation = np.sqrt(np.maximum(power - mean * mean, 1e-4))
    darkness = (mean * bank.areas - _sums_of_lungs(bank.drawn, greys)) / (deviation * bank.norms)
    return [bank.boxes[best] for best in (darkness + bank.likely).reshape(len(thumbnails), -1).argmax(axis=1)]


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
    """All pairs of lungs by height, place down, width and place across: boxes and, each of shape `GRID`, their area on the
    film, the count of pixels in the window around them, the norm of their pattern (of mean zero in it) times the root of that
    count, and what is added to their correlation for how usual they are. `drawn` (pixels, heights x widths) is each pair in the
    middle; `rows` (heights x down, side) and `columns` (widths x across, side) are the windows' extents."""

    boxes: list[Box]
    areas: NDArray[np.float32]
    counts: NDArray[np.float32]
    norms: NDArray[np.float32]
    likely: NDArray[np.float32]
    drawn: NDArray[np.float32]
    rows: NDArray[np.float32]
    columns: NDArray[np.float32]


@lru_cache(maxsize=1)
def _bank() -> _Bank:
    across, down = ([middle + place for place in PLACES] for middle in MIDDLE)
    boxes = [Box(x, y, width, height) for height in HEIGHTS for y in down for width in WIDTHS for x in across]
    rows, columns = _extents(down, HEIGHTS, 0.5 + MARGIN), _extents(across, WIDTHS, 0.5 + MARGIN / 2)
    middle = [draw_field(Box(*MIDDLE, width, height), SIDE).ravel() for height in HEIGHTS for width in WIDTHS]
    drawn = np.stack(middle, axis=1)
    everywhere = np.ones((1, SIDE, SIDE), np.float32)
    areas, counts = _sums_of_lungs(drawn, everywhere)[0], _sums_within(rows, columns, everywhere)[0]
    norms = np.sqrt((areas - areas * areas / counts) * counts)  # of a pattern that is 1 inside the lungs, less its mean
    likely = -PRIOR * (((np.array(boxes) - USUAL) / SPREAD) ** 2).sum(axis=1).astype(np.float32).reshape(GRID)
    return _Bank(boxes, areas, counts, norms, likely, drawn, rows, columns)


def _extents(middles: Sequence[float], lengths: Sequence[float], reach: float) -> NDArray[np.float32]:
    """(lengths x middles, side): which pixels lie within `reach` lengths of a middle."""
    points = (np.arange(SIDE) + 0.5) / SIDE
    return np.array([np.abs(points - middle) <= reach * length for length in lengths for middle in middles], np.float32)


def _sums_within(rows: NDArray[np.float32], columns: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(count, side, side) → (count, *GRID): the sum within each window."""
    return np.asarray((rows @ values @ columns.T).reshape(-1, *GRID))


def _sums_of_lungs(drawn: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(count, side, side) → (count, *GRID): the sum within each pair of lungs. The film is moved instead of the lungs: one
    product of matrices that stay in the processor's cache, where 900 drawn pairs do not."""
    around = np.zeros((len(values), SIDE + 2 * REACH, SIDE + 2 * REACH), np.float32)
    around[:, REACH:-REACH, REACH:-REACH] = values
    moved = sliding_window_view(around, (SIDE, SIDE), axis=(1, 2))[:, ::STEP, ::STEP]
    by_shape = (moved.reshape(-1, len(drawn)) @ drawn).reshape(-1, len(PLACES), len(PLACES), len(HEIGHTS), len(WIDTHS))
    return np.asarray(by_shape.transpose(0, 3, 1, 4, 2))


def _share(heat: NDArray[np.float32], box: Box) -> float | None:
    inside, everywhere = _weights_of_cells(box, len(heat))
    total = float((heat * everywhere).sum())
    return float((heat * inside).sum()) / total if total > 1e-9 else None


@lru_cache(maxsize=1024)
def _weights_of_cells(box: Box, cells: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(cells, cells): how much of the heat that a cell is drawn with lies in the lung field, and how much there is. There are
    no more boxes than those of `_bank`."""
    field = draw_field(box, CELL * cells, grow=0.03)
    return sum_by_cell(field), sum_by_cell(np.ones_like(field))
