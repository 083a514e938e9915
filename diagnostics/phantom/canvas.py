"""Soft layers: shapes drawn in a square of unit coordinates, blurred, and returned as numbers."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

Point: TypeAlias = tuple[float, float]
Layer: TypeAlias = "NDArray[float32]"


class Canvas:
    """One grey layer. Coordinates run from 0 to 1 across and down; lengths are in widths of the film."""

    def __init__(self, width: int, height: int) -> None:
        from PIL import Image, ImageDraw

        self._width, self._height = width, height
        self._image = Image.new("L", (width, height))
        self._draw = ImageDraw.Draw(self._image)

    def polygon(self, points: Iterable[Point], level: float = 1.0) -> None:
        """Fill a closed outline."""
        self._draw.polygon([self._place(point) for point in points], fill=_grey(level))

    def curve(self, points: Sequence[Point], thickness: float, level: float = 1.0) -> None:
        """Stroke an open line."""
        pixels = max(1, round(thickness * self._width))
        self._draw.line([self._place(point) for point in points], fill=_grey(level), width=pixels, joint="curve")

    def ellipse(self, centre: Point, radii: Point, tilt: float = 0.0, level: float = 1.0) -> None:
        """Fill an ellipse turned clockwise by `tilt` radians. Both radii are in widths."""
        self.polygon(self._ellipse_outline(centre, radii, tilt), level)

    def text(self, place: Point, letters: str, size: float) -> None:
        """Write letters with their upper left corner at `place`."""
        from PIL import ImageFont

        font = ImageFont.load_default(max(8, round(size * self._width)))
        self._draw.text(self._place(place), letters, fill=255, font=font)

    def layer(self, blur: float = 0.0) -> Layer:
        """The layer as float32 in [0, 1], blurred with a Gaussian of this standard deviation in widths."""
        import numpy as np
        from PIL import ImageFilter

        image = self._image.filter(ImageFilter.GaussianBlur(blur * self._width)) if blur else self._image
        return np.asarray(image, dtype=np.float32) / np.float32(255)

    def _place(self, point: Point) -> Point:
        return point[0] * self._width, point[1] * self._height

    def _ellipse_outline(self, centre: Point, radii: Point, tilt: float) -> list[Point]:
        aspect = self._width / self._height
        outline = []
        for step in range(48):
            angle = 2 * math.pi * step / 48
            x, y = radii[0] * math.cos(angle), radii[1] * math.sin(angle)
            across, down = x * math.cos(tilt) - y * math.sin(tilt), x * math.sin(tilt) + y * math.cos(tilt)
            outline.append((centre[0] + across, centre[1] + down * aspect))
        return outline


def smooth_outline(points: Sequence[Point], *, closed: bool = True, steps: int = 8) -> list[Point]:
    """A Catmull-Rom curve through the points."""
    count = len(points)
    last = count if closed else count - 1
    curve: list[Point] = []
    for index in range(last):
        around = [points[_neighbour(index + offset, count, closed=closed)] for offset in (-1, 0, 1, 2)]
        curve.extend(_between(around, step / steps) for step in range(steps))
    return curve if closed else [*curve, points[-1]]


def _neighbour(index: int, count: int, *, closed: bool) -> int:
    return index % count if closed else min(max(index, 0), count - 1)


def _between(around: Sequence[Point], t: float) -> Point:
    def along(axis: int) -> float:
        a, b, c, d = (point[axis] for point in around)
        return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)

    return along(0), along(1)


def _grey(level: float) -> int:
    return round(255 * min(max(level, 0.0), 1.0))
