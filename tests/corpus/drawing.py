"""The small phantom films that specimens are made of."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from diagnostics.phantom import Opacity, draw_film

WIDTH, HEIGHT = 200, 220  # above the least size that is read, small enough for hundreds of uploads


@cache
def film_pixels(bits: int = 8) -> NDArray[np.uint16]:
    """A grey film of `HEIGHT` x `WIDTH` with values of so many bits."""
    film = draw_film(seed=20, opacity=Opacity(), width=WIDTH, height=HEIGHT)
    return np.rint(film * (2**bits - 1)).astype(np.uint16)
