"""Mixup: films shown through one another, so that the network does not grow surer than the films allow."""

import numpy as np
from numpy.typing import NDArray

Batch = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]


def mix_pairs(
    films: NDArray[np.uint8],
    truth: NDArray[np.float32],
    weights: NDArray[np.float32],
    *,
    strength: float,
    generator: np.random.Generator,
) -> Batch:
    """Each film laid over another of its batch with a share drawn from Beta(strength, strength), the larger share its own;
    truth and weight are mixed alike (Zhang et al., mixup, ICLR 2018).

    `films` (count, size, size, 1) uint8, `truth` and `weights` (count,); returns the same shapes.
    """
    count = len(truth)
    share = generator.beta(strength, strength, count).astype(np.float32)
    share = np.maximum(share, 1 - share)
    other = generator.permutation(count)
    of_film = share[:, None, None, None]
    mixed = np.rint(films * of_film + films[other] * (1 - of_film)).astype(np.uint8)
    return mixed, truth * share + truth[other] * (1 - share), weights * share + weights[other] * (1 - share)
