"""Pictures to be let pass and pictures to be refused: drawn ones, and real ones that come with the libraries at hand."""

import gzip
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pydicom
import sklearn.datasets
from numpy.typing import NDArray
from PIL import Image

from diagnostics import phantom

SLICES = ("CT_small.dcm", "MR_small.dcm", "693_J2KI.dcm", "examples_overlay.dcm")


@cache
def chest_films(count: int, size: int = 64, first: int = 0) -> NDArray[np.uint8]:
    """(count, size, size): frontal chest films of children, drawn, every other one with an opacity."""
    films = []
    for seed in range(first, first + count):
        drawn = phantom.draw_film(seed=seed, opacity=phantom.Opacity() if seed % 2 else None, width=256, height=288)
        films.append(np.asarray(Image.fromarray(np.rint(drawn * 255).astype(np.uint8)).resize((size, size))))
    return np.stack(films)


def colour_photographs() -> Iterator[Image.Image]:
    """Two landscapes and flowers, and a portrait."""
    folder = Path(sklearn.datasets.__file__).parent / "images"
    yield Image.open(folder / "china.jpg").convert("RGB")
    yield Image.open(folder / "flower.jpg").convert("RGB")
    yield Image.open(Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB")


def slices() -> Iterator[Image.Image]:
    """CT and MR slices, and a sagittal MR of a head, as 8-bit pictures."""
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    for name in SLICES:
        yield _stretched(pydicom.dcmread(folder / name).pixel_array)
    head = (Path(mpl.get_data_path()) / "sample_data" / "s1045.ima.gz").read_bytes()
    yield _stretched(np.frombuffer(gzip.decompress(head), np.uint16).reshape(256, 256))


def photographed_screen(film: NDArray[np.uint8], seed: int = 0) -> NDArray[np.uint8]:
    """(size, size) → (size, size, 3): a screen in a room; two lights of different colour, coloured moire."""
    from mlmodel.gate.negatives import photograph_screen

    generator = np.random.default_rng(seed)
    size = len(film)
    grey = photograph_screen(film, film, generator).astype(float)[..., None]
    rows, columns = np.mgrid[0:size, 0:size, 0:1][:2] / size
    share = 1 / (1 + np.exp(-12 * (columns - 0.5)))
    light = np.array([1.25, 1.0, 0.75]) * share + np.array([0.8, 1.0, 1.2]) * (1 - share)
    moire = 1 + 0.08 * np.sin(2 * np.pi * np.array([3, 5, 7]) * (rows + columns))
    return np.clip(grey * light * moire, 0, 255).astype(np.uint8)


def _stretched(values: NDArray[np.generic]) -> Image.Image:
    grey = values.astype(float)
    low, high = np.percentile(grey, [0.5, 99.5])
    return Image.fromarray((255 * np.clip((grey - low) / max(high - low, 1), 0, 1)).astype(np.uint8))
