"""Outlines of small things on a slide (fragments, pen, dust, hairs, coverslip edges) as polygons.

A polygon in level-0 pixels can be drawn on any block at any downsample, by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.synthetic.noise import Floats, spline_matrix

Points = NDArray[np.float64]
"""(n, 2): x and y."""
OVERSAMPLING = 4
FRACTION_BITS = 4
BLOB_POINTS = 240


@dataclass(frozen=True)
class Fragment:
    """A small separate piece of tissue."""

    center_x: float
    """The centre in level-0 pixels."""
    center_y: float
    """The centre in level-0 pixels."""
    diameter_um: float
    """The diameter of a disc of the same area."""
    pale: bool
    """Whether it is weakly stained."""


@dataclass(frozen=True, eq=False)
class Shape:
    """A filled polygon that lets a part of the light through."""

    points: Points
    """(n, 2): x and y in level-0 pixels."""
    light: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """The part of red, green and blue light that passes, in [0, 1]."""
    blur: float = 0.0
    """The softness of the edge in level-0 pixels, as of a thing out of focus."""
    streaks: float = 0.0
    """How unevenly it covers, in [0, 1]."""

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) with the blur, in level-0 pixels."""
        reach = 3 * self.blur + 1
        left, top = self.points.min(axis=0) - reach
        right, bottom = self.points.max(axis=0) + reach
        return float(left), float(top), float(right), float(bottom)

    def meets(self, left: float, top: float, right: float, bottom: float) -> bool:
        """Return whether the box reaches into a rectangle in level-0 pixels."""
        own = self.box
        return own[0] < right and own[2] > left and own[1] < bottom and own[3] > top


def coverage(shape: Shape, x: int, y: int, side: int, downsample: int) -> Floats:
    """Return the part of each pixel of a block that a shape covers: (side, side) in [0, 1].

    `x`, `y` and `side` are in pixels of the level with this downsample.
    """
    sigma = shape.blur / downsample
    margin = int(np.ceil(3 * sigma)) + 1 if sigma > 0.3 else 0
    fine = OVERSAMPLING if sigma <= 2 else 1
    wide = (side + 2 * margin) * fine
    canvas = np.zeros((wide, wide), np.uint8)
    moved = (shape.points / downsample - [x - margin, y - margin]) * fine - 0.5
    corners = np.rint(moved * 2**FRACTION_BITS).astype(np.int32)
    cv2.fillPoly(canvas, [corners], 255, cv2.LINE_8, FRACTION_BITS)
    whole = cv2.resize(canvas, (side + 2 * margin,) * 2, interpolation=cv2.INTER_AREA)
    drawn = np.asarray(whole, dtype=np.float32)
    if margin:
        drawn = np.asarray(cv2.GaussianBlur(drawn, (0, 0), sigma), dtype=np.float32)
    inner = slice(margin, margin + side)
    return np.asarray(drawn[inner, inner] / 255, dtype=np.float32)


def touched_cells(shapes: Sequence[Shape], grid: tuple[int, int], cell: int) -> NDArray[np.bool_]:
    """Return which cells of `cell` x `cell` level-0 pixels a shape may reach, (rows, columns) bool."""
    touched = np.zeros(grid, np.uint8)
    for shape in shapes:
        corners = np.rint((shape.points / cell - 0.5) * 2**FRACTION_BITS).astype(np.int32)
        cv2.fillPoly(touched, [corners], 1, cv2.LINE_8, FRACTION_BITS)
        cv2.polylines(touched, [corners], True, 1, 1, cv2.LINE_8, FRACTION_BITS)
    return np.asarray(cv2.dilate(touched, np.ones((3, 3), np.uint8)) > 0)


def blob(rng: np.random.Generator, diameter: float, ragged: float, stretch: float = 1.0) -> Points:
    """Return a closed organic outline around (0, 0), (points, 2), with the area of a disc of `diameter`.

    `ragged` is the spread of the radius (0.1 calm, 0.4 wild); `stretch` is length over width.
    """
    angle = np.linspace(0, 2 * np.pi, BLOB_POINTS, endpoint=False)
    waves = np.zeros(BLOB_POINTS)
    for order in range(2, BLOB_POINTS // 4):
        phase = rng.uniform(0, 2 * np.pi)
        waves += rng.normal(0, 2 * ragged * order**-1.35) * np.cos(order * angle + phase)
    radius = np.exp(waves)
    points = np.stack([radius * np.cos(angle) * stretch, radius * np.sin(angle)], axis=1)
    points[:, 1] += rng.uniform(-0.25, 0.25) * (points[:, 0] ** 2 - 1) / max(stretch, 1)
    turned = points @ rotation(rng.uniform(0, 2 * np.pi)).T
    turned -= turned.mean(axis=0)
    scale: Points = turned * (diameter * np.sqrt(np.pi) / 2 / np.sqrt(_area(turned)))
    return scale


def _area(points: Points) -> float:
    x, y = points.T
    return float(max(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2, 1e-9))


def rotation(angle: float) -> Points:
    """Return the (2, 2) matrix that turns points by `angle` radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def smooth_curve(knots: Points, count: int) -> Points:
    """Return `count` points on a smooth line along the knots (n, 2)."""
    positions = np.linspace(0, len(knots) - 1, count)
    led: Points = spline_matrix(positions, len(knots)).astype(np.float64) @ knots
    return led


def ribbon(path: Points, widths: NDArray[np.float64]) -> Points:
    """Return the outline, (2 n, 2), of a line (n, 2) with the given widths (n,) and square ends."""
    along = np.gradient(path, axis=0)
    length = np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / length[:, None]
    half = widths[:, None] / 2
    return np.concatenate([path + across * half, (path - across * half)[::-1]])
