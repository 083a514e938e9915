"""A small set of drawn films to train on, and a recipe that takes seconds."""

from pathlib import Path
from typing import Any

import numpy as np

from tests.mlmodel.films import draw_film, jpeg

TINY_RECIPE: dict[str, Any] = {
    "network": {"input_size": 32, "blocks": [1, 1], "widths": [6, 8]},
    "epochs": 2,
    "batch_size": 16,
    "learning_rate": 0.003,
    "precision": "float32",
    "averaging": 0.5,
}


def labelled_film(number: int) -> bytes:
    """JPEG. The odd ones, which stand for pneumonia, have a bright middle."""
    film = draw_film(number, width=140, height=130) * 120
    if number % 2:
        film[40:90, 40:100] += 110
    return jpeg(film.astype(np.uint8))


def write_films(folder: Path, *, count: int = 60, patients: int = 60) -> None:
    """`count` films of so many patients in `folder`/{NORMAL,PNEUMONIA}/."""
    for number in range(count):
        place = folder / ("PNEUMONIA" if number % 2 else "NORMAL")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"person{number % patients}_virus_{1 + number // patients}.jpeg").write_bytes(labelled_film(number))
