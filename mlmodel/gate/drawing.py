"""Pictures that are no frontal chest film, drawn: limbs, hands, skulls, pelves, spines, lateral chests, slices, photographs.

None is meant to pass for the real thing; each kind has the layout of its body part (bones bright in grey tissue on black) and
every size, place and grey at random, so that a head trained on them learns what is not a chest instead of what one drawing
looks like. Values are floats in 0 to 1; every function takes the side in pixels and a generator.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

Plane = NDArray[np.float32]
Draw = Callable[[int, np.random.Generator], Plane]
Point = tuple[float, float]


def draw_limb(size: int, generator: np.random.Generator) -> Plane:
    """Two long bones that meet in a joint, as of a knee, an elbow or an ankle."""
    middle, tilt = generator.uniform(0.35, 0.65), generator.normal(0, 0.08)
    width = generator.uniform(0.06, 0.14)
    joint = generator.uniform(0.4, 0.6)
    top, knee, foot = (middle - tilt, -0.1), (middle, joint), (middle + tilt * generator.uniform(-1, 2), 1.1)
    tissue = _capsules(size, [(top, foot)], width * generator.uniform(2.2, 3.6))
    bones = [(top, _towards(knee, top, 0.03)), (_towards(knee, foot, 0.03), foot)]
    shafts = _capsules(size, bones, width)
    heads = _discs(size, [(*_towards(knee, top, 0.06), width * 1.6), (*_towards(knee, foot, 0.06), width * 1.5)])
    if generator.random() < 0.6:  # a fibula or an ulna beside it
        beside = width * generator.uniform(1.4, 2)
        shafts = np.maximum(shafts, _capsules(size, [((knee[0] + beside, joint + 0.08), (foot[0] + beside, 1.1))], width / 2))
    return _expose(tissue, [shafts, heads], generator)


def draw_hand(size: int, generator: np.random.Generator) -> Plane:
    """Five fingers of four bones each, and the wrist."""
    bones: list[tuple[Point, Point]] = []
    palm = (0.5 + generator.normal(0, 0.05), generator.uniform(0.6, 0.75))
    spread, length = generator.uniform(0.12, 0.3), generator.uniform(0.5, 0.75)
    for finger in range(5):
        angle = (finger - 2) * spread + generator.normal(0, 0.05) - np.pi / 2
        reach = length * (0.75 if finger in {0, 4} else 1.0)
        ends = [0.18, 0.48, 0.72, 0.88, 1.0]
        points = [(palm[0] + reach * end * np.cos(angle), palm[1] + reach * end * np.sin(angle)) for end in ends]
        bones += [(_towards(a, b, 0.012), _towards(b, a, 0.012)) for a, b in pairwise(points)]
    forearm = [((palm[0] + side, palm[1] + 0.15), (palm[0] + side * 1.1, 1.1)) for side in (-0.05, 0.05)]
    carpals = [(palm[0] + generator.normal(0, 0.05), palm[1] + generator.normal(0.03, 0.04), 0.03) for _ in range(7)]
    width = generator.uniform(0.025, 0.045)
    tissue = np.maximum(_capsules(size, bones, width * 2.4), _capsules(size, [(palm, (palm[0], 1.1))], 0.2))
    return _expose(tissue, [_capsules(size, bones, width), _capsules(size, forearm, 0.07), _discs(size, carpals)], generator)


def draw_skull(size: int, generator: np.random.Generator) -> Plane:
    """A vault with a bright rim, a face with orbits or, from the side, a jaw."""
    x, y = 0.5 + generator.normal(0, 0.05), generator.uniform(0.38, 0.5)
    wide, high = generator.uniform(0.28, 0.42), generator.uniform(0.3, 0.42)
    vault = _ellipse(size, x, y, wide, high)
    rim = vault - _ellipse(size, x, y, wide * 0.93, high * 0.93)
    side = generator.random() < 0.5
    jaw = _ellipse(size, x + (wide * 0.6 if side else 0), y + high, wide * 0.55, high * 0.5)
    orbits = [(x + dx * wide, y + high * 0.5, wide * 0.25) for dx in ((0.75,) if side else (-0.42, 0.42))]
    teeth = _discs(size, [(x + (wide * 0.6 if side else 0) + dx, y + high * 1.15, 0.025) for dx in np.linspace(-0.12, 0.12, 7)])
    neck = _capsules(size, [((x, y + high), (x - (0.1 if side else 0), 1.1))], 0.2)
    film = _expose(np.maximum(np.maximum(vault, jaw), neck), [rim * 1.5, jaw * 0.7, teeth, neck * 0.4], generator)
    return np.asarray(film * (1 - 0.5 * _soft(_discs(size, orbits), size, 0.01)), np.float32)


def draw_pelvis(size: int, generator: np.random.Generator) -> Plane:
    """Iliac wings, sacrum, femoral heads and shafts; soft tissue out to the film's edge."""
    x, y = 0.5 + generator.normal(0, 0.03), generator.uniform(0.35, 0.5)
    wing = generator.uniform(0.16, 0.22)
    parts = []
    for side in (-1, 1):
        parts.append(_ellipse(size, x + side * 0.24, y, wing, wing * generator.uniform(0.8, 1.2)))
        parts.append(_discs(size, [(x + side * 0.3, y + 0.28, 0.075)]))
        parts.append(_capsules(size, [((x + side * 0.3, y + 0.28), (x + side * 0.36, 1.1))], 0.1))
        ring = _ellipse(size, x + side * 0.12, y + 0.36, 0.1, 0.09)
        parts.append(ring - 0.8 * _ellipse(size, x + side * 0.12, y + 0.36, 0.06, 0.055))
    parts.append(_capsules(size, [((x, -0.1), (x, y + 0.15))], 0.13))
    tissue = _ellipse(size, x, 0.45, generator.uniform(0.45, 0.65), 0.9)
    return _expose(tissue, parts, generator)


def draw_spine(size: int, generator: np.random.Generator) -> Plane:
    """A column of vertebrae with disc spaces, from the front or from the side."""
    x, bend = generator.uniform(0.35, 0.65), generator.normal(0, 0.12)
    count, width = int(generator.integers(5, 10)), generator.uniform(0.08, 0.16)
    bodies = np.zeros((size, size), np.float32)
    for index in range(count + 1):
        y = (index + 0.5) / count
        at = x + bend * np.sin(np.pi * y)
        bodies = np.maximum(bodies, _box(size, at, y, width, 0.38 / count))
        processes = [((at - 1.6 * width, y), (at + 1.6 * width, y))] if bend > 0 else [((at, y), (at - 2 * width, y + 0.06))]
        bodies = np.maximum(bodies, 0.6 * _capsules(size, processes, 0.02))
    return _expose(_capsules(size, [((x, -0.2), (x, 1.2))], generator.uniform(0.4, 1.1)), [bodies * 1.3], generator)


def draw_lateral_chest(size: int, generator: np.random.Generator) -> Plane:
    """One lung field between sternum and spine, the heart in front below, the diaphragm's two domes, arms above."""
    front = 1 if generator.random() < 0.5 else -1
    x, tall = 0.5 + generator.normal(0, 0.04), generator.uniform(0.34, 0.44)
    wide = generator.uniform(0.24, 0.36)
    body = _ellipse(size, x, 0.55, wide * generator.uniform(1.25, 1.6), 0.75)
    lung = _ellipse(size, x, generator.uniform(0.4, 0.48), wide, tall)
    heart = _ellipse(size, x + front * wide * 0.45, 0.58, wide * 0.5, tall * 0.5)
    belly = _ellipse(size, x, 0.98, wide * 1.5, generator.uniform(0.28, 0.36))
    spine = np.maximum.reduce(
        [_box(size, x - front * (wide * 0.95 + 0.03 * np.cos(3 * y)), y, 0.05, 0.032) for y in np.arange(0.1, 1.1, 0.085)]
    )
    slope = generator.uniform(0.1, 0.35)
    ribs = [
        ((x - front * wide, y), (x + front * wide * 0.9, y + slope)) for y in np.arange(-0.1, 0.8, generator.uniform(0.07, 0.1))
    ]
    sternum = _capsules(size, [((x + front * wide * 0.95, 0.25), (x + front * wide * 1.1, 0.65))], 0.03)
    arms = _capsules(size, [((x - 0.1, -0.1), (x + front * 0.35, 0.1))], generator.uniform(0.1, 0.25))
    air, haze = generator.uniform(0.35, 0.85), generator.uniform(0.005, 0.04)
    thorax = np.clip(
        _soft(body, size, 0.01) - air * _soft(lung, size, haze) + 0.6 * air * _soft(heart * lung, size, haze), 0, 1
    )
    parts = [0.6 * belly, 0.7 * spine, 0.22 * _capsules(size, ribs, 0.018), 0.5 * sternum, 0.5 * arms]
    return _expose(thorax, parts, generator, flat=True)


def draw_slice(size: int, generator: np.random.Generator) -> Plane:
    """A CT or MR slice: a body or a head on black, a rim, organs within."""
    x, y = 0.5 + generator.normal(0, 0.02, 2)
    wide, high = generator.uniform(0.28, 0.48), generator.uniform(0.26, 0.46)
    film = generator.uniform(0.3, 0.7) * _ellipse(size, x, y, wide, high)
    inner = _ellipse(size, x, y, wide * 0.9, high * 0.9)
    film = film + generator.uniform(-0.3, 0.5) * (film > 0) * (1 - inner)
    for _ in range(int(generator.integers(3, 12))):
        spot = _ellipse(
            size,
            x + generator.normal(0, wide / 2.5),
            y + generator.normal(0, high / 2.5),
            *generator.uniform(0.02, 0.18, 2),
        )
        film = film + generator.uniform(-0.4, 0.4) * spot * inner
    film = film + 0.15 * inner * _folds(size, generator)
    return _finish(film, generator)


def draw_ultrasound(size: int, generator: np.random.Generator) -> Plane:
    """Speckle in a fan."""
    rows, columns = np.mgrid[0:size, 0:size] / size
    x, y = columns - 0.5, rows + generator.uniform(0, 0.3)
    radius, angle = np.hypot(x, y), np.abs(np.arctan2(x, y))
    fan = (radius < generator.uniform(0.9, 1.2)) & (radius > 0.15) & (angle < generator.uniform(0.4, 0.8))
    speckle = ndimage.gaussian_filter(generator.rayleigh(0.5, (size, size)), size / 224)
    return _finish(np.where(fan, speckle * (0.4 + 0.8 * _cloud(size, generator)), 0), generator)


def draw_photograph(size: int, generator: np.random.Generator) -> Plane:
    """Overlapping shapes of every size, which share the statistics of natural pictures (dead leaves: Lee, Mumford and Huang,
    IJCV 2001)."""
    picture = Image.new("L", (size, size), int(generator.integers(0, 255)))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(generator.integers(30, 250))):
        radius = size * min(0.5, 0.02 / generator.uniform(0.03, 1) ** 1.2)
        x, y = generator.uniform(0, size, 2)
        box = (x - radius, y - radius * generator.uniform(0.4, 1), x + radius, y + radius)
        shade = int(generator.integers(0, 255))
        (draw.ellipse if generator.random() < 0.6 else draw.rectangle)(box, fill=shade)
    film = np.asarray(picture, np.float32) / 255 * (0.7 + 0.6 * _cloud(size, generator))
    return _finish(film, generator)


def draw_texture(size: int, generator: np.random.Generator) -> Plane:
    """Clouds of a random power spectrum, with or without grain: brick, grass, tissue, nothing at all."""
    return _finish(_cloud(size, generator, exponent=generator.uniform(0.2, 3.2)), generator)


def draw_text(size: int, generator: np.random.Generator) -> Plane:
    """Lines of words, dark on light or light on dark, now and then with a table."""
    picture = Image.new("L", (size, size), 255)
    draw = ImageDraw.Draw(picture)
    pitch, left = generator.uniform(0.03, 0.09) * size, generator.uniform(0.02, 0.15) * size
    for y in np.arange(generator.uniform(0.02, 0.2) * size, size, pitch):
        x = left
        while x < size * generator.uniform(0.5, 0.98):
            width = generator.uniform(0.5, 3) * pitch
            for letter in np.arange(x, x + width, pitch * 0.35):
                box = (letter, y, letter + pitch * generator.uniform(0.1, 0.3), y + pitch * generator.uniform(0.35, 0.6))
                draw.rectangle(box, outline=int(generator.integers(0, 120)))
            x += width + pitch * 0.5
    film = np.asarray(picture, np.float32) / 255
    return _finish(1 - film if generator.random() < 0.3 else film, generator)


DRAWINGS: dict[str, Draw] = {
    "limb": draw_limb,
    "hand": draw_hand,
    "skull": draw_skull,
    "pelvis": draw_pelvis,
    "spine": draw_spine,
    "lateral chest": draw_lateral_chest,
    "slice": draw_slice,
    "ultrasound": draw_ultrasound,
    "photograph": draw_photograph,
    "texture": draw_texture,
    "text": draw_text,
}


def _expose(tissue: Plane, bones: Sequence[Plane], generator: np.random.Generator, *, flat: bool = False) -> Plane:
    """Tissue and bones as a radiograph shows them: rounded, with a dense rim, trabeculae and clouded tissue."""
    size = len(tissue)
    depth = tissue if flat else _rounded(tissue)
    film = generator.uniform(0.2, 0.5) * depth * (0.8 + 0.4 * _cloud(size, generator))
    for bone in bones:
        cortex = np.clip(bone - 0.6 * ndimage.gaussian_filter(bone, size * 0.02), 0, None)
        film = film + generator.uniform(0.25, 0.5) * (_soft(bone, size, 0.006) * 0.7 + _soft(cortex, size, 0.004))
    film = film + 0.06 * (film > 0.2) * (_cloud(size, generator, exponent=1.0) - 0.5)
    return _finish(film, generator)


def _finish(film: NDArray[Any], generator: np.random.Generator) -> Plane:
    """Stretched over a random range of greys, moved, scaled, turned a little, grained, sometimes collimated."""
    size = len(film)
    angle, zoom = generator.normal(0, 0.14), generator.uniform(0.55, 1.2)
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    offset = (np.eye(2) - turn) @ [size / 2, size / 2] + generator.normal(0, 0.05, 2) * size
    film = ndimage.affine_transform(film, turn, offset, order=1, mode="nearest")
    film = ndimage.gaussian_filter(film, size / 224 * generator.uniform(0, 1.2))
    low, high = np.percentile(film, [1, 99])
    film = np.clip((film - low) / max(high - low, 1e-3), 0, 1.1) ** generator.uniform(0.6, 1.6)
    film = generator.uniform(0, 0.12) + generator.uniform(0.7, 0.95) * film
    film = film + generator.normal(0, generator.uniform(0, 0.03), film.shape)
    if generator.random() < 0.3:
        edge = (generator.uniform(0, 0.12, 4) * size).astype(int)
        film[: edge[0]] = film[size - edge[1] :] = 0
        film[:, : edge[2]] = film[:, size - edge[3] :] = 0
    return np.clip(film, 0, 1).astype(np.float32)


def _cloud(size: int, generator: np.random.Generator, *, exponent: float = 2.0) -> Plane:
    """Noise whose amplitude falls with frequency ** exponent, 0 to 1."""
    frequency = np.hypot(*np.meshgrid(np.fft.rfftfreq(size), np.fft.fftfreq(size)))
    spectrum = np.fft.rfft2(generator.normal(size=(size, size))) / np.maximum(frequency, 1 / size) ** exponent
    cloud = np.fft.irfft2(spectrum, (size, size))
    return np.asarray((cloud - cloud.min()) / max(np.ptp(cloud), 1e-9), np.float32)


def _folds(size: int, generator: np.random.Generator) -> Plane:
    return np.asarray(np.sin(generator.uniform(10, 40) * _cloud(size, generator)), np.float32)


def _rounded(mask: Plane) -> Plane:
    """A mask as a body's thickness: nothing at its rim, one at its middle."""
    distance = ndimage.distance_transform_edt(mask > 0)
    return np.asarray(np.sqrt(distance / max(float(distance.max()), 1.0)) * mask, np.float32)


def _soft(mask: Plane, size: int, width: float) -> Plane:
    return np.asarray(ndimage.gaussian_filter(mask, width * size), np.float32)


def _grid(size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    rows, columns = np.mgrid[0:size, 0:size]
    return (rows + 0.5) / size, (columns + 0.5) / size


def _ellipse(size: int, x: float, y: float, wide: float, high: float) -> Plane:
    rows, columns = _grid(size)
    return np.asarray(((columns - x) / wide) ** 2 + ((rows - y) / high) ** 2 < 1, np.float32)


def _box(size: int, x: float, y: float, wide: float, high: float) -> Plane:
    rows, columns = _grid(size)
    return np.asarray(((columns - x) / wide) ** 4 + ((rows - y) / high) ** 4 < 1, np.float32)


def _discs(size: int, discs: Sequence[tuple[float, float, float]]) -> Plane:
    return np.asarray(np.maximum.reduce([_ellipse(size, x, y, radius, radius) for x, y, radius in discs]), np.float32)


def _capsules(size: int, lines: Sequence[tuple[Point, Point]], width: float) -> Plane:
    picture = Image.new("L", (size, size))
    draw = ImageDraw.Draw(picture)
    for line in lines:
        ends = [(x * size, y * size) for x, y in line]
        draw.line(ends, fill=255, width=max(1, round(width * size)))
        for x, y in ends:
            radius = width * size / 2
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(picture, np.float32) / np.float32(255)


def _towards(start: Point, end: Point, step: float) -> Point:
    length = float(np.hypot(end[0] - start[0], end[1] - start[1])) or 1.0
    return start[0] + (end[0] - start[0]) / length * step, start[1] + (end[1] - start[1]) / length * step
