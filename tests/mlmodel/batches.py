"""What a recipe makes of a batch of films before the network sees it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlmodel.training.options import RunOptions
from mlmodel.training.progress import Progress
from mlmodel.training.recipe import Recipe
from mlmodel.training.trainer import Examples, Trainer


def catch_batch(recipe: Recipe, given: Examples, folder: Path) -> tuple[Trainer, list[NDArray[Any]]]:
    """The trainer, and films, truth (count, 1) and weights of one batch of all that is given; nothing is learned."""
    trainer = Trainer(
        recipe,
        given,
        given,
        options=RunOptions(),
        checkpoint=folder / "checkpoint.npz",
        progress=Progress(quiet=True),
        fingerprint="",
    )
    seen: list[NDArray[Any]] = []

    def train(model: object, *batch: NDArray[Any]) -> dict[str, float]:
        seen.extend(batch)
        return {"loss": 0.0}

    trainer._compile()
    trainer.devices.train_on_batch = train  # type: ignore[method-assign,assignment]
    trainer._run_batch(np.arange(len(given.truth)))
    return trainer, seen
