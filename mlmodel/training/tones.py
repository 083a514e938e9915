"""Take the class out of a film's tones.

Films of the two classes were exposed and stored differently: over the training films the share of black, the highest greys and
the contrast alone tell them apart with an AUC of 0.7 each. Held-out films that are given the tones of a film of the other class
show how far a network leans on that: `mlmodel.training.shifts`.
"""

import numpy as np
from numpy.typing import NDArray

LEVELS = 256
Classes = NDArray[np.floating]


def move_tones(
    films: NDArray[np.uint8], truth: Classes, towards: Classes, shares: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Each film (count, size, size, 1) moved its share of the way to the histogram of another, drawn from those of the class
    `towards`; `truth`, `towards` and `shares` are (count,). Every class that is named must have a film.

    A tone curve that never falls: what is brighter stays no darker.
    """
    cumulative = np.stack([np.cumsum(np.bincount(film.ravel(), minlength=LEVELS)) / film.size for film in films])
    greys = np.arange(LEVELS, dtype=np.float64)
    members = [np.flatnonzero(truth == label) for label in (0, 1)]
    copy = np.empty_like(films)
    for index, (film, label, share) in enumerate(zip(films, towards, shares, strict=True)):
        curve = np.interp(cumulative[index], cumulative[generator.choice(members[int(label)])], greys)
        copy[index] = np.rint((1 - share) * greys + share * curve).astype(np.uint8)[film]
    return copy


def mix_tones(films: NDArray[np.uint8], truth: Classes, *, limit: float, seed: int) -> NDArray[np.uint8]:
    """A copy in which tones say less of the class: each film moved up to `limit` of the way, by a share drawn evenly, to the
    tones of a film of either class. With a `limit` of 1 half of what told the classes apart is left."""
    generator = np.random.default_rng([seed, len(films)])
    towards = generator.integers(0, 2, len(films)).astype(np.float32)
    return move_tones(films, truth, towards, generator.uniform(0, limit, len(films)), generator)


def swap_tones(films: NDArray[np.uint8], truth: Classes, *, share: float, seed: int) -> NDArray[np.uint8]:
    """A copy with each film moved that share of the way to the tones of a film of the other class."""
    generator = np.random.default_rng([seed, len(films)])
    return move_tones(films, truth, 1 - truth, np.full(len(films), share), generator)
