"""Normal films with an opacity drawn into a lung, to be read as pneumonia.

In the films at hand a child with pneumonia was also cropped, exposed and stored otherwise, and most pneumonias spread over both
lungs: a network that learns from them alone hardly minds one opacity in one lung (`docs/model-search.md`). A normal film with
an opacity drawn into it has every habit of a normal film and is none. Drawn anomalies are what detectors of anomalies are
trained with as well (Li et al., CutPaste, CVPR 2021; Tan et al., Foreign Patch Interpolation, MELBA 2022).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from mlmodel.blas import one_thread
from mlmodel.evaluation.bootstrap import RESAMPLES, draw_weights, share
from mlmodel.lungs import Box, draw_field, find_lungs
from mlmodel.thumbnail import shrink

COPIES = 4  # of each normal film, each with other opacities, so that no drawing is learned by heart
MOST = 2  # opacities in one film
RADII = (0.08, 0.2)  # across and down, in sides of the film
FILLED = (0.4, 0.95)  # how much of the way from air to soft tissue, in the middle
TISSUE = 0.97  # quantile of the greys in the lung field that counts as soft tissue: heart, diaphragm
CLOUD, UNEVENNESS = 0.02, 0.2  # size of the clouds in sides of the film; their deviation, as a share
EDGE, REACH = 0.012, 0.02  # softness of the lung's outline, and how far beyond it begins, in sides of the film


@dataclass(frozen=True, slots=True, eq=False)
class OpaqueCopies:
    """`films` (copies, normal films, size, size, 1), whether each `differs` from the film without an opacity (copies, normal
    films), and, for each training film, its `place` (count,) among the normal ones."""

    films: NDArray[np.uint8]
    differs: NDArray[np.bool_]
    place: NDArray[np.intp]

    def put_in(
        self,
        films: NDArray[np.uint8],
        truth: NDArray[np.float32],
        picked: NDArray[np.int64],
        *,
        share: float,
        generator: np.random.Generator,
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """A batch, the training films of the rows `picked`, in which that share of the normal films has an opacity and counts
        as pneumonia; one in which there was no air to fill stays as it is."""
        chosen = (generator.random(len(picked)) < share) & (truth == 0)
        number, place = generator.integers(0, len(self.films), len(picked)), self.place[picked]
        chosen &= self.differs[number, place]
        batch = films.copy()
        batch[chosen] = self.films[number[chosen], place[chosen]]
        return batch, np.where(chosen, np.float32(1), truth)


def copy_with_opacities(variants: list[NDArray[np.uint8]], truth: NDArray[np.floating], *, seed: int) -> OpaqueCopies:
    """`COPIES` of each normal film, drawn into each of the `variants` of the training films (count, size, size, 1) in turn.
    Done once per run."""
    normal = truth == 0
    generator = np.random.default_rng([seed, len(truth)])
    chosen = [films[normal] for films in variants]
    undrawn = [chosen[index % len(chosen)] for index in range(COPIES)]
    copies = [draw_opacities(films, generator) for films in undrawn]
    differs = [differ(*pair) for pair in zip(copies, undrawn, strict=True)]
    return OpaqueCopies(np.stack(copies), np.stack(differs), np.maximum(np.cumsum(normal) - 1, 0))


def draw_opacities(films: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """A copy of films (count, size, size, 1), each with one or two opacities in one lung: where there was air it is as bright
    as soft tissue, so that vessels and the border of what lies behind are lost; cloudy, and soft at the edge."""
    copy = films.copy()
    with one_thread():
        boxes = find_lungs(shrink(films[..., 0]))
    for film, box in zip(copy, boxes, strict=True):
        film[..., 0] = np.rint(_consolidate(film[..., 0].astype(np.float32), box, generator))
    return copy


def differ(films: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether each film (count, size, size, 1) differs from its counterpart, (count,)."""
    return (films != others).any(axis=(1, 2, 3))


def measure_opacities(
    probability_of: Callable[[NDArray[np.uint8]], NDArray[np.float64]],
    films: NDArray[np.uint8],
    truth: NDArray[np.floating],
    probability: NDArray[np.float64],
    patients: Sequence[str],
    *,
    threshold: float,
    seed: int,
) -> dict[str, Any]:
    """How many normal films, (count, size, size, 1), that are called so are called pneumonia once an opacity is drawn into a
    lung, whatever the gate would say: `films`, and `found`, resampled by patient. `probability` is the unchanged films' own."""
    chosen = np.flatnonzero((truth == 0) & (probability < threshold))
    drawn = draw_opacities(films[chosen], np.random.default_rng([seed, len(chosen)])) if len(chosen) else films[chosen]
    changed = differ(drawn, films[chosen])
    if not changed.any():
        return {"films": 0, "found": {}}
    theirs = [patients[int(index)] for index in chosen[changed]]
    weights = draw_weights(theirs, RESAMPLES, seed)
    return {"films": len(theirs), "found": share(probability_of(drawn[changed]) >= threshold, theirs, weights)}


def _consolidate(greys: NDArray[np.float32], box: Box, generator: np.random.Generator) -> NDArray[np.float32]:
    size = len(greys)
    points = (np.arange(size) + 0.5) / size
    half = (points - box.x) * generator.choice([-1, 1]) > 0
    lungs = draw_field(box, size)
    lung = lungs * half
    if not lung.any():
        return greys
    air = np.maximum(np.quantile(greys[lungs > 0], TISSUE) - greys, 0)
    likely = (lung * air**2 + 1e-9).ravel()  # in the lung, and beside the heart rather than before it
    shape = np.zeros((size, size))
    for place in generator.choice(size * size, generator.integers(1, MOST + 1), p=likely / likely.sum()):
        across, down = generator.uniform(*RADII, 2)
        sideways = (points - points[place % size]) / across
        upward = (points - points[place // size]) / down
        shape = np.maximum(shape, np.exp(-((sideways[None, :] ** 2 + upward[:, None] ** 2) ** 2)))
    clouds = gaussian_filter(generator.normal(size=(size, size)), CLOUD * size)
    clouds = 1 + UNEVENNESS * clouds / clouds.std()
    within = gaussian_filter(draw_field(box, size, grow=REACH) * half, EDGE * size)
    filled = generator.uniform(*FILLED) * shape * clouds * within
    return np.asarray(greys + np.clip(filled, 0, 1) * air, np.float32)
