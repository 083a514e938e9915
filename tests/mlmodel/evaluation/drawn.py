"""Films as numbers: truth, logits and patients drawn from a model whose calibration is known."""

import numpy as np
from numpy.typing import NDArray

Drawn = tuple[NDArray[np.float64], NDArray[np.float64], list[str]]


def draw_logits(count: int, seed: int = 0, *, prevalence: float = 0.6, spread: float = 1.0, films_each: int = 2) -> Drawn:
    """Truth, logits and patients. The logits are right for `spread` one, and too extreme by that factor above it."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2.5, count) + np.log(prevalence / (1 - prevalence))
    truth = (generator.random(count) < 1 / (1 + np.exp(-logits))).astype(np.float64)
    return truth, spread * logits, [f"patient{number // films_each}" for number in range(count)]


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-logits))
