"""The scene of one slide: sections, fragments, and artefacts that are no tissue, with their places.

A scene is small whatever the size of the slide. Pixels are drawn from it block by block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsicomp.synthetic.layout import FIELDS, Ground, drawn_fields, value_at
from wsicomp.synthetic.noise import Floats
from wsicomp.synthetic.shapes import (
    Fragment,
    Points,
    Shape,
    blob,
    ribbon,
    rotation,
    smooth_curve,
    touched_cells,
)
from wsicomp.synthetic.texture import Stain, drawn_stain

BLOCK = 256
"""The side of a block in pixels."""
SMALLEST_FRAGMENT_UM, LARGEST_FRAGMENT_UM = 50.0, 500.0
PLACING_TRIES = 60
PEN_TRIES = 24
INKS = ((0.22, 0.34, 0.70), (0.18, 0.50, 0.36), (0.20, 0.20, 0.23))
"""The part of red, green and blue light that passes a marker's ink."""


@dataclass(frozen=True)
class SceneOptions:
    """The options of a scene, besides its sections."""

    seed: int
    """Decides everything random."""
    fragments: int
    """The number of separate small pieces of tissue."""
    pen: bool
    """Whether a stroke of a marker lies on the glass."""
    dust: bool
    """Whether specks and hairs lie on the glass."""
    coverslip: bool
    """Whether two edges of the cover glass are in view."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that decides a slide's pixels, at any downsample."""

    ground: Ground
    """Size and sections."""
    stain: Stain
    """The slide's colours."""
    fields: NDArray[np.float32]
    """A stack of fields in the order of FIELDS."""
    fragments: tuple[tuple[Fragment, Shape], ...]
    """Fragments with their outlines."""
    artefacts: tuple[Shape, ...]
    """What lies on the glass without being tissue, the lowest first."""
    fragment_cells: NDArray[np.bool_]
    """Which BLOCK x BLOCK level-0 pixels a fragment may reach, (rows, columns)."""
    artefact_cells: NDArray[np.bool_]
    """Which BLOCK x BLOCK level-0 pixels an artefact may reach, (rows, columns)."""


def drawn_scene(ground: Ground, options: SceneOptions) -> Scene:
    """Return the scene on a ground, by its seed.

    Each part has random numbers of its own, so no part changes another.
    """
    fields = drawn_fields(ground, np.random.default_rng([options.seed, 1]))
    pen = _pen(ground, np.random.default_rng([options.seed, 6]), fields["section"]) if options.pen else None
    fragments = _fragments(ground, options, fields["section"], pen)
    artefacts = _artefacts(ground, options, pen)
    cells = (-(-ground.size.height // BLOCK), -(-ground.size.width // BLOCK))
    return Scene(
        ground=ground,
        stain=drawn_stain(np.random.default_rng([options.seed, 2])),
        fields=np.stack([fields[name] for name in FIELDS]),
        fragments=fragments,
        artefacts=artefacts,
        fragment_cells=touched_cells([shape for _, shape in fragments], cells, BLOCK),
        artefact_cells=touched_cells(artefacts, cells, BLOCK),
    )


class _Room:
    """The room on the glass for another piece, clear of other pieces and the sections."""

    def __init__(self, ground: Ground, section: Floats, pen: Shape | None) -> None:
        self._ground, self._section = ground, section
        outline = pen.points if pen is not None else np.empty((0, 2))
        self._taken = np.concatenate([outline, np.zeros((len(outline), 1))], axis=1)

    def spot(
        self, rng: np.random.Generator, diameter: float, *, on_border: bool
    ) -> tuple[float, float] | None:
        """Return a centre for a piece of a diameter in um, None if there is no room.

        With `on_border` the centre lies on a border between tiles.
        """
        size, reach = self._ground.size, 0.8 * diameter / self._ground.mpp
        for _ in range(PLACING_TRIES):
            x = rng.uniform(reach, max(reach, size.width - reach))
            y = rng.uniform(reach, max(reach, size.height - reach))
            x = float(round(x / BLOCK) * BLOCK) if on_border else x
            inside = reach <= x <= size.width - reach and reach <= y <= size.height - reach
            if inside and self._is_free(x, y, reach):
                self._taken = np.concatenate([self._taken, [[x, y, reach]]])
                return x, y
        return None

    def _is_free(self, x: float, y: float, reach: float) -> bool:
        """Return whether a disc is clear of all others and of the sections."""
        gaps = np.hypot(self._taken[:, 0] - x, self._taken[:, 1] - y) - self._taken[:, 2]
        clearance = reach * self._ground.mpp + min(70.0, 0.1 * self._ground.shorter_um)
        return bool((gaps > reach).all()) and value_at(self._section, x, y) < -clearance


def _fragments(
    ground: Ground, options: SceneOptions, section: Floats, pen: Shape | None
) -> tuple[tuple[Fragment, Shape], ...]:
    """Return as many fragments as asked for, or as have room, clear of sections, pen and each other."""
    rng = np.random.default_rng([options.seed, 3])
    largest = min(LARGEST_FRAGMENT_UM, 0.3 * ground.shorter_um)
    smallest = min(SMALLEST_FRAGMENT_UM, largest)
    room = _Room(ground, section, pen)
    placed: list[tuple[Fragment, Shape]] = []
    if largest < 3 * ground.mpp:
        return ()
    for number in range(options.fragments):
        diameter = float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))
        spot = room.spot(rng, diameter, on_border=number % 3 == 0)
        points = blob(rng, diameter / ground.mpp, rng.uniform(0.12, 0.3), rng.uniform(1.0, 2.2))
        if spot is not None:
            fragment = Fragment(spot[0], spot[1], diameter, pale=number % 3 == 1)
            placed.append((fragment, Shape(points + np.array(spot))))
    return tuple(placed)


def _artefacts(ground: Ground, options: SceneOptions, pen: Shape | None) -> tuple[Shape, ...]:
    """Return everything on the glass that is no tissue, the lowest first."""
    shapes: list[Shape] = []
    if options.dust:
        shapes += _dust(ground, np.random.default_rng([options.seed, 4]))
    if options.coverslip:
        shapes += _coverslip(ground, np.random.default_rng([options.seed, 5]))
    return (*shapes, pen) if pen is not None else tuple(shapes)


def _anywhere(ground: Ground, rng: np.random.Generator) -> Points:
    return np.array([rng.uniform(0, ground.size.width), rng.uniform(0, ground.size.height)])


def _dust(ground: Ground, rng: np.random.Generator) -> list[Shape]:
    """Return specks, some out of focus, and a few hairs."""
    area_mm2 = ground.size.width * ground.size.height * ground.mpp**2 / 1e6
    px = 1 / ground.mpp
    shapes = []
    for _ in range(int(np.clip(area_mm2 * 0.8, 3, 120))):
        points = blob(rng, rng.uniform(3, 16) * px, 0.25, rng.uniform(1, 2.5)) + _anywhere(ground, rng)
        grey = rng.uniform(0.2, 0.65)
        shapes.append(Shape(points, (grey, grey * 0.97, grey * 0.94), blur=rng.uniform(0.3, 2.0) * px))
    for _ in range(int(np.clip(area_mm2 * 0.1, 1, 20))):
        points = blob(rng, rng.uniform(25, 60) * px, 0.08) + _anywhere(ground, rng)
        shapes.append(Shape(points, (0.86, 0.87, 0.9), blur=rng.uniform(3, 6) * px))
    hairs = int(np.clip(area_mm2 / 60, 1, 6))
    return shapes + [_hair(ground, rng) for _ in range(hairs)]


def _hair(ground: Ground, rng: np.random.Generator) -> Shape:
    """Return a thin curved fibre, a little out of focus."""
    length = min(rng.uniform(500, 1800), 0.4 * ground.shorter_um) / ground.mpp
    steps = rng.normal((1.0, 0.0), 0.5, (6, 2))
    knots = np.cumsum(steps @ rotation(rng.uniform(0, 2 * np.pi)).T, axis=0) * (length / 6)
    path = smooth_curve(knots + _anywhere(ground, rng), 120)
    widths = np.full(120, rng.uniform(4, 9) / ground.mpp)
    return Shape(ribbon(path, widths), (0.45, 0.42, 0.40), blur=1.2 / ground.mpp)


def _coverslip(ground: Ground, rng: np.random.Generator) -> list[Shape]:
    """Return two edges of the cover glass: a dark line each, with a fainter one beside it."""
    shapes = []
    width, height = ground.size.width, ground.size.height
    for upright in (True, False):
        share = rng.uniform(0.02, 0.05)
        share = share if rng.uniform() < 0.5 else 1 - share
        slope, aside = rng.uniform(-0.006, 0.006), rng.uniform(12, 30) / ground.mpp
        for shift, grey, thick in ((0.0, 0.62, 9.0), (aside, 0.86, 5.0)):
            along = np.linspace(-0.01, 1.01, 24) * (height if upright else width)
            across = share * (width if upright else height) + slope * along + shift
            path = np.stack([across, along] if upright else [along, across], axis=1)
            outline = ribbon(path, np.full(24, thick / ground.mpp))
            shapes.append(Shape(outline, (grey, grey, grey), blur=0.8 / ground.mpp))
    return shapes


def _pen(ground: Ground, rng: np.random.Generator, section: Floats) -> Shape:
    """Return a marker's stroke: of those tried, the one that is long and crosses little tissue."""
    width = min(700.0, 0.035 * ground.shorter_um) / ground.mpp
    strokes = [_stroke(ground, rng, width) for _ in range(PEN_TRIES)]
    lengths = [float(np.hypot(*np.diff(each, axis=0).T).sum()) for each in strokes]
    crossed = [np.mean([value_at(section, x, y) > -width * ground.mpp for x, y in each]) for each in strokes]
    worth = np.array(lengths) * (1 - np.array(crossed)) ** 4
    best = int(np.argmax(worth))
    path = strokes[best]
    swell = smooth_curve(rng.normal(1, 0.10, (14, 1)), len(path))[:, 0]
    # Round ends, as a felt tip leaves them.
    apart = np.linspace(0, lengths[best], len(path)) / (width / 2)
    near = np.clip(np.minimum(apart, apart[::-1]) + 0.05, 0, 1)
    ends = np.sqrt(1 - (1 - near) ** 2)
    ink = INKS[int(rng.integers(len(INKS)))]
    return Shape(ribbon(path, width * swell * ends), ink, blur=2.5 / ground.mpp, streaks=0.3)


def _stroke(ground: Ground, rng: np.random.Generator, width: float) -> Points:
    """Return the middle line of a stroke drawn by hand, inside the slide."""
    longer = max(ground.size.width, ground.size.height)
    bend = np.cumsum(rng.normal(0, 0.22, 6)) + rng.uniform(0, 2 * np.pi)
    steps = np.stack([np.cos(bend), np.sin(bend)], axis=1) * (rng.uniform(0.25, 0.5) * longer / 6)
    knots = np.cumsum(steps, axis=0) + _anywhere(ground, rng)
    far = np.array([ground.size.width - width, ground.size.height - width])
    return smooth_curve(np.clip(knots, min(width, *far), np.maximum(far, 0)), 160)
