"""From a class-activation map to a small, partly transparent picture that is laid over the whole film."""

import struct
import zlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CELL = 8  # pixels a side for each cell of the map; a browser stretches the picture over the film
MAX_ALPHA = 0.85
# Dark violet to pale yellow: read in grey and by every kind of colour vision (after matplotlib's inferno)
COLOURS = ((0.0, (87, 16, 110)), (0.35, (188, 55, 84)), (0.7, (249, 142, 9)), (1.0, (252, 255, 164)))


def draw_heatmap(activation: NDArray[np.float32], *, scale: float) -> bytes:
    """(h, w) contributions to the logit → PNG of `CELL` h x `CELL` w pixels, of 256 colours with their opacity. What speaks
    against pneumonia is left out.

    `scale` is the contribution drawn at full strength, unless the film itself has a stronger one: a film with nothing to show
    stays clear instead of having its noise blown up.
    """
    smooth = upsample(np.maximum(activation, 0))
    strength = smooth / max(float(smooth.max()), scale, 1e-12)
    return encode_with_palette(np.rint(strength * 255).astype(np.uint8), _palette())


def upsample(activation: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) → (`CELL` h, `CELL` w) by smooth interpolation, aligned with the film."""
    rows, columns = activation.shape
    # The network pads symmetrically, so cell i looks at film pixel stride x i: the first row at the film's edge. Across, film
    # and mirror image are averaged, which puts column j at stride x j + (stride - 1) / 2, the middle of its cell.
    return np.asarray(_weights(rows, 0.0) @ activation @ _weights(columns, 0.5).T, np.float32)


def sum_by_cell(drawn: NDArray[np.float32]) -> NDArray[np.float32]:
    """(`CELL` h, `CELL` w) → (h, w): for each cell the sum over the picture, weighted by how `upsample` spreads the cell's
    value: the sum of `drawn` times an upsampled activation is that of this times the activation."""
    rows, columns = (side // CELL for side in drawn.shape)
    return np.asarray(_weights(rows, 0.0).T @ drawn @ _weights(columns, 0.5), np.float32)


@lru_cache(maxsize=8)
def _weights(cells: int, centre: float) -> NDArray[np.float32]:
    """(`CELL` x cells, cells) Gaussian interpolation weights; `centre` is where in its cell, 0 to 1, a value belongs."""
    positions = (np.arange(CELL * cells) + 0.5) / CELL
    distance = positions[:, None] - (np.arange(cells) + centre)[None, :]
    weights = np.exp(-0.5 * (distance / 0.6) ** 2)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@lru_cache(maxsize=1)
def _palette() -> NDArray[np.uint8]:
    """(256, 4): colour by strength, and strength as opacity."""
    strength = np.linspace(0, 1, 256)
    stops = [stop for stop, _ in COLOURS]
    channels = [np.interp(strength, stops, [colour[i] for _, colour in COLOURS]) for i in range(3)]
    return np.rint(np.stack([*channels, 255 * MAX_ALPHA * strength], axis=1)).astype(np.uint8)


def encode_with_palette(indices: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """(height, width) into (256, 4) RGBA → PNG (ISO/IEC 15948) of indexed colour, each row filtered by the one above; no image
    library is needed in the worker for it."""
    height, width = indices.shape
    rows = np.empty((height, 1 + width), np.uint8)
    rows[:, 0] = 2  # filter type Up
    rows[0, 1:] = indices[0]
    rows[1:, 1:] = indices[1:] - indices[:-1]
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", palette[:, :3].tobytes()),
        (b"tRNS", palette[:, 3].tobytes()),
        (b"IDAT", zlib.compress(rows.tobytes(), 1)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
