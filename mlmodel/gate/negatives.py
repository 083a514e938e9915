"""What the gate learns to refuse: the training films themselves spoilt in known ways, and drawings. No data of others."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from mlmodel.gate.drawing import DRAWINGS

Film = NDArray[np.uint8]
Spoil = Callable[[Film, Film, np.random.Generator], Film]


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Pictures of one kind, (count, size, size) uint8, and the code they are to be refused with."""

    kind: str
    code: str
    films: Film


def turn_quarter(film: Film, _: Film, generator: np.random.Generator) -> Film:
    """By 90 or 270 degrees."""
    return np.rot90(film, 1 if generator.random() < 0.5 else 3)


def turn_upside_down(film: Film, _: Film, generator: np.random.Generator) -> Film:
    """By 180 degrees, or mirrored top to bottom."""
    return np.rot90(film, 2) if generator.random() < 0.5 else film[::-1]


def turn_askew(film: Film, _: Film, generator: np.random.Generator) -> Film:
    """By 35 to 145 degrees either way, black in the corners."""
    angle = generator.uniform(35, 145) * generator.choice([-1, 1])
    return np.asarray(Image.fromarray(film).rotate(angle, Image.Resampling.BILINEAR))


def invert(film: Film, _: Film, generator: np.random.Generator) -> Film:
    return 255 - film


def crop_part(film: Film, _: Film, generator: np.random.Generator) -> Film:
    """A quarter to a half of each side, anywhere, blown up."""
    size = len(film)
    side = generator.uniform(0.2, 0.48, 2) * size
    left, top = generator.uniform(0, size - side)
    return _resize(film, (left, top, left + side[0], top + side[1]))


def stretch(film: Film, _: Film, generator: np.random.Generator) -> Film:
    """A band of the film, drawn out to the whole width or height."""
    size = len(film)
    band, at = generator.uniform(0.2, 0.42) * size, generator.uniform(0, 0.55) * size
    wide = generator.random() < 0.5
    return _resize(film, (0, at, size, at + band) if wide else (at, 0, at + band, size))


def shuffle_patches(film: Film, _: Film, generator: np.random.Generator) -> Film:
    """Cut into 2 x 2 to 7 x 7 squares that are laid out anew."""
    size, cells = len(film), int(generator.integers(2, 8))
    side = size // cells
    patches = [film[row * side : (row + 1) * side, at * side : (at + 1) * side] for row in range(cells) for at in range(cells)]
    order = generator.permutation(len(patches))
    while np.array_equal(order, np.arange(len(order))):
        order = generator.permutation(len(patches))
    rows = [np.hstack([patches[order[row * cells + at]] for at in range(cells)]) for row in range(cells)]
    return _resize(np.vstack(rows), None, size)


def collage(film: Film, other: Film, generator: np.random.Generator) -> Film:
    """Two or four films on one picture."""
    size = len(film)
    if generator.random() < 0.5:
        whole = np.hstack([film, other]) if generator.random() < 0.7 else np.vstack([film, other])
    else:
        whole = np.vstack([np.hstack([film, other]), np.hstack([other, film])])
    return _resize(whole, None, size)


def blur(film: Film, _: Film, generator: np.random.Generator) -> Film:
    """Until no rib is left."""
    return np.asarray(ndimage.gaussian_filter(film, generator.uniform(0.03, 0.07) * len(film)))


def bury_in_noise(film: Film, _: Film, generator: np.random.Generator) -> Film:
    noise = generator.normal(0, generator.uniform(60, 140), film.shape)
    return np.clip(film * generator.uniform(0.2, 0.9) + noise, 0, 255).astype(np.uint8)


def photograph_screen(film: Film, _: Film, generator: np.random.Generator) -> Film:
    """The film on a screen that was photographed at a slant: bezel, wall, glare, moire."""
    size = len(film)
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * generator.uniform(0.55, 0.8) + generator.uniform(0.05, 0.2, 2)
    corners = (corners + generator.normal(0, 0.035, (4, 2))) * size
    shown = Image.fromarray(film).transform(
        (size, size), Image.Transform.PERSPECTIVE, _perspective(corners, size), Image.Resampling.BILINEAR
    )
    inside = Image.new("L", (size, size), 255).transform(
        (size, size), Image.Transform.PERSPECTIVE, _perspective(corners, size), Image.Resampling.BILINEAR
    )
    mask = np.asarray(inside, np.float32) / 255
    bezel = ndimage.grey_dilation(mask, size=(int(size * generator.uniform(0.03, 0.1)) | 1,) * 2)
    wall = generator.uniform(20, 230) + 40 * ndimage.gaussian_filter(generator.normal(0, 20, film.shape), size / 10)
    picture = wall * (1 - bezel) + generator.uniform(5, 60) * (bezel - mask)
    rows, columns = np.mgrid[0:size, 0:size] / size
    waves = generator.uniform(20, 70, 2)
    moire = 1 + generator.uniform(0.02, 0.12) * np.sin(2 * np.pi * (waves[0] * rows + waves[1] * columns + rows * columns * 5))
    glare = 70 * generator.random() * np.exp(-((rows - generator.random()) ** 2 + (columns - generator.random()) ** 2) / 0.05)
    lit = (0.75 * np.asarray(shown, np.float32) + 25) * moire + glare
    return np.clip(picture + lit * mask + generator.normal(0, 3, film.shape), 0, 255).astype(np.uint8)


def fold_to_one_side(film: Film, _: Film, generator: np.random.Generator) -> Film:
    """One lung drawn out over the picture with the spine at its edge: the nearest to a lateral view that a frontal film
    gives."""
    size = len(film)
    middle = size * generator.uniform(0.46, 0.54)
    box = (0.0, 0.0, middle, float(size)) if generator.random() < 0.5 else (middle, 0.0, float(size), float(size))
    half = _resize(film, box)
    both = 0.6 * half + 0.4 * _resize(film[:, ::-1], box)
    narrow = _resize(np.clip(both, 0, 255).astype(np.uint8), None, size, width=int(size * generator.uniform(0.6, 1)))
    canvas = np.full((size, size), int(generator.integers(0, 25)), np.uint8)
    left = (size - narrow.shape[1]) // 2
    canvas[:, left : left + narrow.shape[1]] = narrow
    return canvas


SPOILT: dict[str, tuple[str, Spoil]] = {
    "turned by a quarter": ("ROTATED", turn_quarter),
    "upside down": ("ROTATED", turn_upside_down),
    "askew": ("ROTATED", turn_askew),
    "inverted": ("INVERTED", invert),
    "part of a film": ("NOT_CHEST_XRAY", crop_part),
    "stretched": ("NOT_CHEST_XRAY", stretch),
    "shuffled": ("NOT_CHEST_XRAY", shuffle_patches),
    "collage": ("NOT_CHEST_XRAY", collage),
    "blurred": ("NOT_CHEST_XRAY", blur),
    "noise": ("NOT_CHEST_XRAY", bury_in_noise),
    "screen": ("NOT_CHEST_XRAY", photograph_screen),
    "folded to one side": ("LATERAL_VIEW", fold_to_one_side),
}
DRAWN_CODES = {"lateral chest": "LATERAL_VIEW"}


def make_negatives(films: Film, *, per_kind: int, seed: int) -> Iterator[Material]:
    """`per_kind` pictures of every kind from films (count, size, size): spoilt films first, then drawings; an inverted drawing
    now and then, since other archives store other polarities."""
    size = films.shape[1]
    generator = np.random.default_rng(seed)
    for kind, (code, spoil) in SPOILT.items():
        chosen = generator.integers(0, len(films), (per_kind, 2))
        yield Material(kind, code, np.stack([spoil(films[one], films[two], generator) for one, two in chosen]))
    for kind, draw in DRAWINGS.items():
        drawn = np.stack([draw(size, generator) for _ in range(per_kind)])
        yield Material(kind, DRAWN_CODES.get(kind, "NOT_CHEST_XRAY"), np.rint(drawn * 255).astype(np.uint8))


def vary_films(films: Film, *, seed: int) -> Film:
    """The films as another machine or viewer would have written them: JPEG at quality 60 to 90, 15 % brighter or darker,
    contrast, a turn of up to 5 degrees, a crop of up to 8 %, mirrored, softer. They are still to be read."""
    generator = np.random.default_rng(seed)
    return np.stack([_vary(film, generator) for film in films])


def _vary(film: Film, generator: np.random.Generator) -> Film:
    size = len(film)
    picture = Image.fromarray(film)
    if generator.random() < 0.5:
        picture = picture.rotate(float(generator.uniform(-5, 5)), Image.Resampling.BILINEAR)
    if generator.random() < 0.5:
        edges = generator.uniform(0, 0.08, 4) * size
        picture = picture.resize(
            (size, size), Image.Resampling.BILINEAR, (edges[0], edges[1], size - edges[2], size - edges[3])
        )
    if generator.random() < 0.3:
        small = int(size * generator.uniform(0.6, 0.95))
        picture = picture.resize((small, small), Image.Resampling.BILINEAR).resize((size, size), Image.Resampling.BICUBIC)
    grey = np.asarray(picture, np.float64)
    if generator.random() < 0.6:
        grey = (grey - 128) * generator.uniform(0.85, 1.15) + 128
        grey = np.clip(grey / 255 * generator.uniform(0.85, 1.15), 0, 1) ** generator.uniform(0.85, 1.18) * 255
    if generator.random() < 0.5:
        grey = grey[:, ::-1]
    return _through_jpeg(np.clip(grey, 0, 255).astype(np.uint8), int(generator.integers(60, 95)))


def _through_jpeg(film: Film, quality: int) -> Film:
    from io import BytesIO

    buffer = BytesIO()
    Image.fromarray(film).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def _resize(
    film: Film, box: tuple[float, float, float, float] | None, size: int | None = None, width: int | None = None
) -> Film:
    side = size or len(film)
    return np.asarray(Image.fromarray(film).resize((width or side, side), Image.Resampling.BILINEAR, box))


def _perspective(corners: NDArray[np.float64], size: int) -> list[float]:
    """Pillow's eight coefficients that lay a square film into `corners` (x, y), clockwise from the upper left."""
    film = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * size
    rows = []
    for (x, y), (u, v) in zip(corners, film, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return list(np.linalg.solve(np.array(rows, float), film.astype(float).ravel()))
