"""Rules on pixels, before the network: colour, blank, noise, text. Cheap enough for the decoding children, and sure enough to
stand alone: of 5,216 pediatric and 493 adult films none comes within a factor of 1.6 of a limit on grey values.

numpy is imported by who calls: nothing here is loaded in a web process.
"""

import numpy as np
from numpy.typing import NDArray

COLOUR_CHROMA, COLOUR_SHARE = 38, 0.10  # a channel difference of 15 % over a tenth of the picture
UNEVEN_CHROMA = 9.0  # of 255: colour that grey values do not explain, over a tenth of the picture
LEAST_RANGE = 45.0  # of 255, from the 1st to the 99th percentile; real films have 85 and more
GRAIN = 0.03  # of the variance that lies between neighbouring pixels; real films have at most 0.011
GREYS = np.arange(256)
FLAT_GREYS, FLAT_SHARE = 9, 0.62  # so much of the picture within so many neighbouring grey values; real films at most 0.38


def is_colour(thumbnail: NDArray[np.uint8]) -> bool:
    """Whether an RGB thumbnail (height, width, 3) is a colour picture rather than a film with a coloured mark on it.

    A film scanned or stored with a slight tint has one colour per grey value; a photograph, also that of a screen, has colours
    that differ at equal grey.
    """
    red, green, blue = (thumbnail[..., channel].ravel() for channel in range(3))
    chroma = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    if float((chroma > COLOUR_CHROMA).mean()) > COLOUR_SHARE:
        return True
    if float(chroma.max()) < UNEVEN_CHROMA:
        return False
    rgb = thumbnail.astype(np.float32).reshape(-1, 3)
    grey = rgb.mean(axis=1, keepdims=True)
    terms = np.hstack([np.ones_like(grey), grey / 255, (grey / 255) ** 2])
    plain = chroma <= COLOUR_CHROMA  # or a coloured mark would pull the tint of the film towards it
    tint, *_ = np.linalg.lstsq(terms[plain], (rgb - grey)[plain], rcond=None)
    uneven = np.abs(rgb - grey - terms @ tint).max(axis=1)
    return bool((uneven > UNEVEN_CHROMA).mean() > COLOUR_SHARE)


def find_fault(plane: NDArray[np.uint8]) -> str | None:
    """The code that a grey plane (size, size) is refused with before the network sees it, or None. Blank pictures, noise and
    pages have too few greys or too much grain for a film."""
    rows = plane[::2]  # every other one will do
    counts = np.bincount(rows.ravel(), minlength=256) / rows.size
    up_to = np.cumsum(counts)
    low, high = np.searchsorted(up_to, (0.01, 0.99))
    if high - low < LEAST_RANGE:
        return "NOT_CHEST_XRAY"
    if max(up_to[FLAT_GREYS - 1], (up_to[FLAT_GREYS:] - up_to[:-FLAT_GREYS]).max()) > FLAT_SHARE:
        return "NOT_CHEST_XRAY"
    variance = float(counts @ np.square(GREYS - counts @ GREYS))
    return "NOT_CHEST_XRAY" if grain(plane, variance) > GRAIN else None


def grain(plane: NDArray[np.uint8], variance: float) -> float:
    """The share of the plane's variance that a pixel does not have in common with the mean of its four neighbours."""
    values = plane.astype(np.int16)
    around = values[:-2:2, 1:-1] + values[2::2, 1:-1] + values[1:-1:2, :-2] + values[1:-1:2, 2:]  # every other row will do
    apart = (4 * values[1:-1:2, 1:-1] - around).ravel().astype(np.float32) / 4
    return float(apart @ apart) / apart.size / max(variance, 1e-3)
