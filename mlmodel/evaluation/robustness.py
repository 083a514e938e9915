"""Does the label stay when the film is changed as films are changed on their way: a JPEG more, another brightness, a tilt."""

from collections.abc import Callable, Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlmodel.evaluation.bootstrap import RESAMPLES, draw_weights, share

Films = NDArray[np.uint8]
Picture = Image.Image
CROP = 0.05  # of each side
WIDER = 1.23  # the median film with pneumonia is so much wider for its height than the median normal one


def measure_robustness(
    probability_of: Callable[[Films], NDArray[np.float64]],
    films: Films,
    probability: NDArray[np.float64],
    patients: Sequence[str],
    *,
    threshold: float,
    seed: int,
) -> dict[str, dict[str, float | None]]:
    """For each change the share of films, (count, size, size, 1), whose label stays: value, low, high, resampled by patient.

    `probability` is the unchanged films' own.
    """
    weights = draw_weights(patients, RESAMPLES, seed)
    found: dict[str, dict[str, float | None]] = {}
    for name, change in CHANGES.items():
        changed = np.stack([np.asarray(change(Image.fromarray(film[:, :, 0])), np.uint8) for film in films])
        stays = (probability_of(changed[..., None]) >= threshold) == (probability >= threshold)
        found[name] = share(stays, patients, weights)
    return found


def _compress(picture: Picture) -> Picture:
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=75)
    return Image.open(buffer)


def _brighten(share: float) -> Callable[[Picture], Picture]:
    return lambda picture: picture.point(lambda grey: min(255, round(grey * (1 + share))))


def _tilt(picture: Picture) -> Picture:
    return picture.rotate(2, Image.Resampling.BILINEAR)


def _crop(across: float, down: float) -> Callable[[Picture], Picture]:
    """Without that share of the width and of the height, half on each side, and at the old size again."""

    def crop(picture: Picture) -> Picture:
        width, height = picture.size
        left, top = width * across / 2, height * down / 2
        return picture.resize(picture.size, Image.Resampling.BILINEAR, box=(left, top, width - left, height - top))

    return crop


CHANGES: dict[str, Callable[[Picture], Picture]] = {
    "JPEG quality 75": _compress,
    "10 % brighter": _brighten(0.1),
    "10 % darker": _brighten(-0.1),
    "turned by 2°": _tilt,
    "mirrored": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "5 % cropped": _crop(CROP, CROP),
    "cropped to a wider outline": _crop(0, 1 - 1 / WIDER),
    "cropped to a narrower outline": _crop(1 - 1 / WIDER, 0),
}
