"""Take the class out of a film's outline.

Films are squeezed to a square, which leaves their aspect ratio in how broad the chest looks. Where the films of one class were
cropped wider than those of the other (here the medians are 1.47 with pneumonia and 1.19 without, over the 48 films at hand in
full size), a network reads the crop instead of the lungs: one trained without this loses 0.037 of its AUC when the normal films
alone are cropped a quarter lower. It does not survive another day's habits.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LEAST = 0.1  # of the logarithm of the aspect ratio


def recrop_films(films: NDArray[np.uint8], truth: NDArray[np.float32], *, limit: float, seed: int) -> NDArray[np.uint8]:
    """A second copy of each film (count, size, size, 1), cropped towards the other class's outline and squeezed again: normal
    ones wider, those with pneumonia narrower, by a factor whose logarithm lies between `LEAST` and `limit`.

    Done once per run: half the films of every batch are then taken from the copy, so that the outlines of both classes overlap.
    """
    generator = np.random.default_rng([seed, len(films)])
    size = films.shape[1]
    copy = np.empty_like(films)
    kept = size * np.exp(-generator.uniform(LEAST, limit, len(films)))
    start = generator.uniform(0, 1, len(films)) * (size - kept)
    for index, film in enumerate(films):
        low, high = float(start[index]), float(start[index] + kept[index])
        box = (low, 0.0, high, float(size)) if truth[index] else (0.0, low, float(size), high)
        picture = Image.fromarray(film[:, :, 0]).resize((size, size), Image.Resampling.BILINEAR, box=box)
        copy[index, :, :, 0] = np.asarray(picture)
    return copy
