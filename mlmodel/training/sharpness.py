"""Take the class out of a film's sharpness.

Films of the two classes were stored at different sizes, and are not equally sharp when they are shrunk to one: over the
training films the deviation of their curvature alone tells them apart with an AUC of 0.83.
"""

import numpy as np
from numpy.typing import NDArray

COARSEST = 12  # cycles a side: what is larger is anatomy, and stays
STRONGEST = 4.0  # gain
ROUNDING = 1e-9  # a whole number of cycles must not fall into the ring below


def mix_sharpness(films: NDArray[np.uint8], truth: NDArray[np.floating], *, limit: float, seed: int) -> NDArray[np.uint8]:
    """A copy of films (count, size, size, 1) in which sharpness says less of the class: the fine structure of each is made
    stronger or weaker, ring by ring of the spectrum, up to `limit` of the way, by a share drawn evenly, to that of a film of
    either class (after Yang and Soatto, FDA, CVPR 2020). A film of less than twice `COARSEST` pixels a side has none."""
    generator = np.random.default_rng([seed, len(films)])
    size = films.shape[1]
    rings = _rings(size)
    profiles = np.stack([_profile(np.fft.rfft2(film[:, :, 0]), rings) for film in films])
    members = [np.flatnonzero(truth == label) for label in (0, 1)]
    copy = np.empty_like(films)
    for index, film in enumerate(films):
        other, share = generator.choice(members[generator.integers(0, 2)]), generator.uniform(0, limit)
        gain = np.exp(share * (profiles[other] - profiles[index])).clip(1 / STRONGEST, STRONGEST)
        gain[:COARSEST] = 1
        changed = np.fft.irfft2(np.fft.rfft2(film[:, :, 0]) * gain[rings], s=(size, size))
        copy[index, :, :, 0] = np.rint(changed).clip(0, 255)
    return copy


def _rings(size: int) -> NDArray[np.intp]:
    """(size, size / 2 + 1): how many whole cycles a side each coefficient of `rfft2` has, at most half of the size."""
    down, across = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
    return np.minimum(np.hypot(down, across) * size + ROUNDING, size // 2).astype(np.intp)


def _profile(spectrum: NDArray[np.complexfloating], rings: NDArray[np.intp]) -> NDArray[np.float64]:
    """(rings,) logarithm of the mean amplitude in each ring."""
    sums = np.bincount(rings.ravel(), np.abs(spectrum).ravel())
    return np.asarray(np.log(sums / np.bincount(rings.ravel()) + 1))
