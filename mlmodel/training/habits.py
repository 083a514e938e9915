"""What tells the classes of a set of films apart without showing a lung: how films were cropped, exposed and scaled.

A network can learn these habits of a hospital in the place of the disease, and no random split shows it. Held-out films whose
habits are those of the other class do: no picture is changed for it.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

CONTRARY = 1 / 3  # of each class
EDGE = 12  # pixels at 160
BATCH = 256


def describe_habits(films: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(count, size, size, 1) → (count, 12): mean, deviation, sharpness alone and over the deviation, greys at three edges,
    share of black and of white, low and high greys, and how much steeper greys are across than down, which is the outline."""
    return np.concatenate([_describe(films[at : at + BATCH, :, :, 0]) for at in range(0, len(films), BATCH)])


def find_contrary(
    known: NDArray[np.uint8],
    known_truth: NDArray[np.float32],
    films: NDArray[np.uint8],
    truth: NDArray[np.float32],
    *,
    seed: int,
) -> NDArray[np.bool_]:
    """(count,): which of the films belong to the third of their class that looks most like the other one to a classifier of
    habits, trained on the known films."""
    classifier = HistGradientBoostingClassifier(max_depth=3, random_state=seed).fit(describe_habits(known), known_truth)
    score = classifier.predict_proba(describe_habits(films))[:, 1]
    highest, lowest = np.quantile(score[truth == 0], 1 - CONTRARY), np.quantile(score[truth == 1], CONTRARY)
    return np.where(truth == 1, score <= lowest, score >= highest)


def _describe(films: NDArray[np.uint8]) -> NDArray[np.float32]:
    greys = films.astype(np.float32)
    edge = max(1, EDGE * films.shape[1] // 160)
    middle = greys[:, 1:-1, 1:-1]
    curvature = 4 * middle - greys[:, :-2, 1:-1] - greys[:, 2:, 1:-1] - greys[:, 1:-1, :-2] - greys[:, 1:-1, 2:]
    sharpness, deviation = curvature.std(axis=(1, 2)) + 1, greys.std(axis=(1, 2)) + 1
    across, down = (np.abs(np.diff(greys, axis=axis)).mean(axis=(1, 2)) + 1 for axis in (2, 1))
    low, high = np.percentile(films.reshape(len(films), -1)[:, ::7], (5, 95), axis=1)
    columns = (
        greys.mean(axis=(1, 2)),
        deviation,
        np.log(sharpness),
        np.log(sharpness / deviation),
        greys[:, :edge].mean(axis=(1, 2)),
        greys[:, -edge:].mean(axis=(1, 2)),
        (greys[:, :, :edge] + greys[:, :, -edge:]).mean(axis=(1, 2)),
        (films < 8).mean(axis=(1, 2)),
        (films > 247).mean(axis=(1, 2)),
        low,
        high,
        across / down,
    )
    return np.stack(columns, axis=1).astype(np.float32)
