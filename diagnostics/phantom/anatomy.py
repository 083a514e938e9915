"""A child's chest from the front, as an X-ray sees it: attenuations of tissues add up, bright is dense.

Proportions follow an AP film of a child of about three: a wide, short thorax, near-horizontal ribs, a heart that takes
half of its width. The patient's right is on the left of the film.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from diagnostics.phantom.canvas import Canvas, Layer, Point, smooth_outline

if TYPE_CHECKING:
    from numpy.random import Generator

Pattern = Literal["lobar", "patchy"]
Side = Literal["right", "left", "both"]
SIDES: dict[str, tuple[int, ...]] = {"right": (-1,), "left": (1,), "both": (-1, 1)}

CENTRE = 0.5
MIN_SIDE = 64  # pixels; a smaller film has no ribs to speak of
RIB_PAIRS = 10
# Half widths of the thorax, in widths of the film, where each pair of ribs turns forward
RIB_REACH = (0.17, 0.24, 0.285, 0.315, 0.335, 0.35, 0.358, 0.364, 0.366, 0.366)
RIGHT_LUNG: tuple[Point, ...] = (
    (0.455, 0.235), (0.40, 0.175), (0.325, 0.175), (0.25, 0.235), (0.19, 0.36), (0.155, 0.52), (0.145, 0.66), (0.142, 0.752),
    (0.20, 0.715), (0.29, 0.672), (0.38, 0.675), (0.45, 0.705), (0.465, 0.55), (0.46, 0.38),
)  # fmt: skip
LEFT_LUNG: tuple[Point, ...] = (
    (0.545, 0.235), (0.60, 0.172), (0.675, 0.175), (0.75, 0.235), (0.81, 0.36), (0.845, 0.52), (0.857, 0.67), (0.86, 0.775),
    (0.80, 0.735), (0.71, 0.70), (0.62, 0.70), (0.55, 0.72), (0.535, 0.55), (0.54, 0.38),
)  # fmt: skip
BODY: tuple[Point, ...] = (
    (0.41, -0.05), (0.405, 0.05), (0.36, 0.105), (0.22, 0.13), (0.085, 0.17), (0.06, 0.26), (0.085, 0.36), (0.09, 0.50),
    (0.088, 0.68), (0.10, 0.85), (0.105, 1.05), (0.895, 1.05), (0.90, 0.85), (0.912, 0.68), (0.91, 0.50), (0.915, 0.36),
    (0.94, 0.26), (0.915, 0.17), (0.78, 0.13), (0.64, 0.105), (0.595, 0.05), (0.59, -0.05),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Opacity:
    """A shadow such as pneumonia casts: a dense lobe or scattered patches, in one lung or both, with a strength in (0, 1]."""

    pattern: Pattern = "lobar"
    side: Side = "right"
    strength: float = 0.7


def draw_film(*, seed: int, opacity: Opacity | None = None, width: int = 900, height: int = 1024) -> Layer:
    """A film as float32 of shape (height, width) in [0, 1], 1 being bright; the same seed draws the same film.

    Raises `ValueError` where a side is under `MIN_SIDE` pixels.
    """
    import numpy as np
    from PIL import Image

    if min(width, height) < MIN_SIDE:
        raise ValueError(f"A film has at least {MIN_SIDE} pixels a side. Received: {width} x {height}")
    rng = np.random.default_rng(seed)
    chest = _Chest(rng, max(width // 2, MIN_SIDE // 2), max(height // 2, MIN_SIDE // 2))
    density = chest.density(opacity)
    density = np.asarray(Image.fromarray(density).resize((width, height), Image.Resampling.BICUBIC))
    film = _expose(rng, density)
    return _collimate(rng, film)


class _Chest:
    """The layers of one film, drawn at half size: nothing of it has sharper edges than that."""

    def __init__(self, rng: "Generator", width: int, height: int) -> None:
        self._rng, self._width, self._height = rng, width, height
        self._shift = rng.normal(0, 0.006)
        self._scale = rng.uniform(0.96, 1.03)

    def density(self, opacity: Opacity | None) -> Layer:
        """The sum of all attenuations, about 0 in air and 1 behind the spine."""
        body, lungs = self._body(), self._lungs()
        heart = self._heart()
        density = 0.52 * body - 0.30 * lungs + 0.185 * heart
        density += 0.12 * self._abdomen() + 0.13 * self._mediastinum() + 0.085 * self._spine()
        density -= 0.055 * self._airway()
        density += 0.072 * self._ribs() + 0.05 * self._side_wall() + 0.10 * self._clavicles() + 0.08 * self._shoulders()
        density += lungs * (0.06 * self._vessels() + 0.013 * self._texture())
        if opacity is not None:
            density += 0.26 * opacity.strength * lungs * self._opacity(opacity)
        return density

    def _canvas(self) -> Canvas:
        return Canvas(self._width, self._height)

    def _at(self, x: float, y: float) -> Point:
        """A point of the standard chest in this child's chest."""
        return CENTRE + self._shift + (x - CENTRE) * self._scale, 0.46 + (y - 0.46) * self._scale

    def _outline(self, points: tuple[Point, ...], *, closed: bool = True) -> list[Point]:
        return smooth_outline([self._at(*point) for point in points], closed=closed)

    def _body(self) -> Layer:
        canvas = self._canvas()
        canvas.polygon(self._outline(BODY))
        edge = canvas.layer(blur=0.006)
        return edge * (0.55 + 0.45 * canvas.layer(blur=0.07))

    def _lungs(self) -> Layer:
        canvas = self._canvas()
        for outline in (RIGHT_LUNG, LEFT_LUNG):
            canvas.polygon(self._outline(outline))
        return 0.45 * canvas.layer(blur=0.006) + 0.55 * canvas.layer(blur=0.022)

    def _heart(self) -> Layer:
        canvas, size = self._canvas(), self._rng.uniform(0.94, 1.06)
        canvas.ellipse(self._at(0.57, 0.58), (0.172 * size, 0.128 * size), tilt=0.68)
        canvas.ellipse(self._at(0.465, 0.585), (0.092 * size, 0.120 * size))
        canvas.ellipse(self._at(0.53, 0.43), (0.080, 0.12))
        return 0.6 * canvas.layer(blur=0.009) + 0.4 * canvas.layer(blur=0.035)

    def _mediastinum(self) -> Layer:
        canvas, bulge = self._canvas(), self._rng.uniform(0.0, 0.03)
        points = ((0.455, 0.0), (0.545, 0.0), (0.56, 0.25), (0.575 + bulge, 0.36), (0.55, 0.70), (0.46, 0.70))
        canvas.polygon(self._outline((*points, (0.425 - bulge, 0.36), (0.44, 0.25))))
        return canvas.layer(blur=0.014)

    def _abdomen(self) -> Layer:
        canvas = self._canvas()
        right = ((0.10, 0.775), (0.142, 0.757), (0.20, 0.715), (0.29, 0.672), (0.38, 0.675), (0.47, 0.71))
        left = ((0.55, 0.72), (0.62, 0.70), (0.71, 0.70), (0.80, 0.735), (0.86, 0.775), (0.90, 0.79))
        dome = self._outline((*right, *left), closed=False)
        canvas.polygon([*dome, (0.9, 1.1), (0.1, 1.1)])
        gas = self._canvas()
        gas.ellipse(self._at(0.665, 0.785), (0.075, 0.042), tilt=0.2)
        gas.ellipse(self._at(0.60 + self._rng.uniform(-0.1, 0.1), 0.93), (0.06, 0.035), tilt=-0.4, level=0.8)
        return canvas.layer(blur=0.006) - 0.8 * gas.layer(blur=0.012)

    def _spine(self) -> Layer:
        canvas = self._canvas()
        for index in range(19):
            y, half = 0.012 + 0.0565 * index, 0.034 + 0.0008 * index
            corners = ((-half, 0.006), (half, 0.006), (half, 0.048), (-half, 0.048))
            canvas.polygon([self._at(CENTRE + x, y + down) for x, down in corners], level=0.72)
            canvas.ellipse(self._at(CENTRE, y + 0.034), (0.007, 0.013), level=0.95)
            for side in (-1, 1):
                canvas.ellipse(self._at(CENTRE + side * (half - 0.010), y + 0.020), (0.008, 0.012), level=1.0)
        return canvas.layer(blur=0.0045)

    def _airway(self) -> Layer:
        canvas = self._canvas()
        canvas.curve([self._at(0.496, 0.0), self._at(0.492, 0.2), self._at(0.486, 0.365)], 0.034)
        canvas.curve([self._at(0.486, 0.36), self._at(0.435, 0.435)], 0.024)
        canvas.curve([self._at(0.486, 0.36), self._at(0.56, 0.44)], 0.020)
        return canvas.layer(blur=0.006)

    def _ribs(self) -> Layer:
        back, front = self._canvas(), self._canvas()
        for index in range(RIB_PAIRS):
            for side in (-1, 1):
                jitter = self._rng.normal(0, 0.0025)
                _draw_rib(back, self._back_rib(index, side, jitter), thickness=0.030)
                if 0 < index < 7:
                    _draw_rib(front, self._front_rib(index, side, jitter), thickness=0.034)
        return back.layer(blur=0.0022) + 0.6 * front.layer(blur=0.004)

    def _side_wall(self) -> Layer:
        """Where the ribs turn forward the beam runs along them: a bright line down each side of the thorax."""
        canvas = self._canvas()
        for side in (-1, 1):
            turns = [(CENTRE + side * RIB_REACH[i], _rib_top(i) + _rib_drop(i)) for i in range(RIB_PAIRS - 1)]
            canvas.curve(smooth_outline([self._at(*turn) for turn in turns], closed=False), 0.016)
        return canvas.layer(blur=0.004)

    def _back_rib(self, index: int, side: int, jitter: float) -> list[Point]:
        top, reach, drop = _rib_top(index) + jitter, RIB_REACH[index], _rib_drop(index)
        points = []
        for step in range(15):
            t = step / 14
            across = 0.035 + (reach - 0.035) * math.sin(t * math.pi / 2)
            down = drop * (0.45 * t + 0.55 * t**4) - 0.016 * math.sin(math.pi * t)
            points.append(self._at(CENTRE + side * across, top + down))
        return points

    def _front_rib(self, index: int, side: int, jitter: float) -> list[Point]:
        start, reach = _rib_top(index) + jitter + _rib_drop(index), RIB_REACH[index]
        inner = 0.135 + 0.012 * index
        points = []
        for step in range(11):
            t = step / 10
            across = reach - (reach - inner) * t**1.4
            points.append(self._at(CENTRE + side * across, start + 0.085 * math.sin(t * math.pi / 2)))
        return points

    def _clavicles(self) -> Layer:
        canvas = self._canvas()
        for side in (-1, 1):
            knots = ((0.05, 0.212), (0.12, 0.190), (0.20, 0.172), (0.28, 0.138), (0.35, 0.142))
            line = [self._at(CENTRE + side * x, y + self._rng.normal(0, 0.002)) for x, y in knots]
            _draw_rib(canvas, smooth_outline(line, closed=False), thickness=0.026)
        return canvas.layer(blur=0.003)

    def _shoulders(self) -> Layer:
        canvas = self._canvas()
        for side in (-1, 1):
            blade = ((0.30, 0.17), (0.40, 0.19), (0.385, 0.30), (0.335, 0.44), (0.295, 0.34))
            canvas.polygon(smooth_outline([self._at(CENTRE + side * x, y) for x, y in blade]), level=0.42)
            canvas.ellipse(self._at(CENTRE + side * 0.425, 0.205), (0.036, 0.040), level=1.0)
            canvas.curve([self._at(CENTRE + side * x, y) for x, y in ((0.43, 0.22), (0.47, 0.36))], 0.042, level=0.8)
        return canvas.layer(blur=0.006)

    def _vessels(self) -> Layer:
        coarse, fine = self._canvas(), self._canvas()
        for side in (-1, 1):
            hilum = (0.085, 0.465) if side < 0 else (0.105, 0.45)
            coarse.ellipse(self._at(CENTRE + side * hilum[0], hilum[1]), (0.026, 0.045), tilt=-0.3 * side, level=0.8)
            for angle in self._rng.uniform(-1.35, 1.35, 13):
                self._branch(coarse, fine, (CENTRE + side * hilum[0], hilum[1]), side, float(angle))
        return coarse.layer(blur=0.007) + 0.9 * fine.layer(blur=0.002)

    def _branch(self, coarse: Canvas, fine: Canvas, start: Point, side: int, angle: float) -> None:
        """A vessel that bends, thins and forks once on its way from the hilum."""
        x, y = start
        points, thickness = [self._at(x, y)], 0.011
        for step in range(7):
            angle += self._rng.normal(0, 0.16)
            x, y = x + side * 0.034 * math.cos(angle), y + 0.034 * math.sin(angle)
            points.append(self._at(x, y))
            (coarse if step < 2 else fine).curve(points[-2:], thickness, level=0.75 - 0.07 * step)
            thickness *= 0.76
            if step in {2, 4}:
                turn = angle + self._rng.choice((-0.6, 0.6))
                tip = self._at(x + side * 0.07 * math.cos(turn), y + 0.07 * math.sin(turn))
                fine.curve([points[-1], tip], thickness, level=0.4)

    def _texture(self) -> Layer:
        """Fine mottling of several sizes, with zero mean."""
        import numpy as np

        total = np.zeros((self._height, self._width), np.float32)
        for cells, weight in ((90, 0.5), (40, 0.6), (14, 0.7)):
            total += weight * self._cloud(cells)
        return total

    def _cloud(self, cells: int) -> Layer:
        import numpy as np
        from PIL import Image

        grid = self._rng.standard_normal((cells, cells), dtype=np.float32)
        return np.asarray(Image.fromarray(grid).resize((self._width, self._height), Image.Resampling.BICUBIC))

    def _opacity(self, opacity: Opacity) -> Layer:
        draw = self._lobe if opacity.pattern == "lobar" else self._patches
        shape = sum(draw(side) for side in SIDES[opacity.side])
        return shape * (1 + 0.09 * self._cloud(20) + 0.05 * self._cloud(70))

    def _lobe(self, side: int) -> Layer:
        """A dense lower or upper zone that fades at its border, with the airways left dark."""
        canvas, air = self._canvas(), self._canvas()
        y = float(self._rng.choice((0.33, 0.58, 0.60)))
        centre = self._at(CENTRE + side * 0.215, y + self._rng.normal(0, 0.01))
        canvas.ellipse(centre, (0.125, 0.105), tilt=0.35 * side)
        canvas.ellipse((centre[0] - side * 0.05, centre[1] - 0.02), (0.09, 0.08))
        for _ in range(5):
            start = (centre[0] - side * 0.08, centre[1] + self._rng.normal(0, 0.03))
            air.curve([start, (centre[0] + side * 0.06, start[1] + self._rng.normal(0, 0.04))], 0.008)
        return canvas.layer(blur=0.03) * (1 - 0.35 * air.layer(blur=0.004))

    def _patches(self, side: int) -> Layer:
        canvas = self._canvas()
        for _ in range(9):
            x, y = self._rng.uniform(0.10, 0.29), self._rng.uniform(0.36, 0.66)
            size = self._rng.uniform(0.018, 0.045)
            centre = self._at(CENTRE + side * x, y)
            canvas.ellipse(centre, (size, size * self._rng.uniform(0.7, 1.2)), level=self._rng.uniform(0.6, 1.0))
        return 1.15 * canvas.layer(blur=0.017)


def _rib_top(index: int) -> float:
    """How far down the spine a pair of ribs begins."""
    return 0.160 + 0.0535 * index


def _rib_drop(index: int) -> float:
    """How far a rib falls on its way to the side of the chest."""
    return 0.080 + 0.0105 * index


def _draw_rib(canvas: Canvas, points: list[Point], thickness: float) -> None:
    """A bone: its two edges are denser than its middle."""
    canvas.curve(points, thickness)
    canvas.curve(points, thickness * 0.6, level=0.68)


def _expose(rng: "Generator", density: Layer) -> Layer:
    """The film's characteristic curve, scatter and quantum noise."""
    import numpy as np

    exposure, contrast = rng.normal(0.46, 0.012), rng.uniform(6.2, 6.8)
    film = 1 / (1 + np.exp(-contrast * (density - exposure)))
    film = 0.02 + 0.93 * film
    noise = rng.standard_normal(density.shape, dtype=np.float32)
    film += noise * (0.006 + 0.012 * np.sqrt(np.clip(film, 0, 1)))
    return film.astype(np.float32)


def _collimate(rng: "Generator", film: Layer) -> Layer:
    """Black beyond the collimator, and the side marker of lead letters."""
    import numpy as np

    height, width = film.shape
    left, top, right, bottom = rng.uniform(0.004, 0.03, 4)
    canvas = Canvas(width, height)
    canvas.polygon([(left, top), (1 - right, top), (1 - right, 1 - bottom), (left, 1 - bottom)])
    marker = Canvas(width, height)
    marker.text((0.055, 0.055), "R", size=0.05)
    field = canvas.layer()
    film = film * field + 0.012 * (1 - field)
    return np.clip(np.maximum(film, 0.96 * marker.layer()), 0, 1).astype(np.float32)
