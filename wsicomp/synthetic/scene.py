"""What lies where on a drawn slide: outlines of sections and fragments, and what dirties the glass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsicomp.geometry import Size

Outline = NDArray[np.float64]
"""(points, 2) float64: x and y in level-0 pixels."""

_LARGEST_FRAGMENT_UM = 500.0
_SMALLEST_FRAGMENT_UM = 55.0


@dataclass(frozen=True)
class Fragment:
    """A small piece of tissue, off the sections; its place in level-0 pixels, its width in um."""

    center_x: float
    center_y: float
    diameter_um: float
    pale: bool


@dataclass(frozen=True)
class Patch:
    """An outline filled with a texture; later ones lie over earlier ones."""

    outline: Outline
    texture: str


@dataclass(frozen=True)
class Stroke:
    """A line on the glass: its points, width in level-0 pixels, RGB colour and opacity in [0, 1]."""

    points: Outline
    width_px: float
    color: tuple[int, int, int]
    opacity: float


@dataclass(frozen=True)
class Scene:
    """Everything on a slide. `tissue` are the outlines whose union is the true mask."""

    patches: tuple[Patch, ...]
    tissue: tuple[Outline, ...]
    strokes: tuple[Stroke, ...]
    fragments: tuple[Fragment, ...]


@dataclass(frozen=True)
class Contents:
    """How much of what: counts of sections and fragments, and what lies on the glass."""

    sections: int
    fragments: int
    tissue_fraction: float
    pen: bool
    dust: bool
    coverslip: bool


def draw_scene(size: Size, mpp: float, seed: int, contents: Contents) -> Scene:
    """The scene of a slide, a function of its arguments alone."""
    rng = np.random.default_rng((seed, 1))
    patches: list[Patch] = []
    sections = _sections(rng, size, contents)
    for outline in sections:
        patches += _section_patches(rng, outline)
    fragments, outlines = _fragments(rng, size, mpp, contents.fragments)
    patches += [
        Patch(outline, "faint" if fragment.pale else str(rng.choice(["stroma", "cells"])))
        for fragment, outline in zip(fragments, outlines, strict=True)
    ]
    strokes = _strokes(rng, size, mpp, contents)
    return Scene(tuple(patches), (*sections, *outlines), tuple(strokes), tuple(fragments))


def _blob(
    rng: np.random.Generator,
    center: tuple[float, float],
    radii: tuple[float, float],
    roughness: float,
    points: int,
) -> Outline:
    """A closed wavy outline around a centre; its radius varies by about `roughness`."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    radius = np.ones(points)
    for harmonic in range(2, points // 16):
        amplitude = roughness * rng.normal() / harmonic**1.25
        radius += amplitude * np.cos(harmonic * angle + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.25, 1.6)
    turn = rng.uniform(0, np.pi)
    x, y = radius * np.cos(angle) * radii[0], radius * np.sin(angle) * radii[1]
    turned_x, turned_y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    return np.stack([center[0] + turned_x, center[1] + turned_y], axis=1)


def _sections(rng: np.random.Generator, size: Size, contents: Contents) -> list[Outline]:
    if not contents.sections:
        return []
    columns = int(np.ceil(np.sqrt(contents.sections * size.width / size.height)))
    rows = -(-contents.sections // columns)
    cell = size.width / columns, size.height / rows
    area = contents.tissue_fraction * size.width * size.height / contents.sections
    outlines = []
    for number in range(contents.sections):
        stretch = rng.uniform(0.75, 1.3)
        radius = np.sqrt(area / np.pi)
        x = (number % columns + rng.uniform(0.42, 0.58)) * cell[0]
        y = (number // columns + rng.uniform(0.42, 0.58)) * cell[1]
        outlines.append(_blob(rng, (x, y), (radius * stretch, radius / stretch), 0.22, 1600))
    return outlines


def _section_patches(rng: np.random.Generator, outline: Outline) -> list[Patch]:
    """The section itself and what it is made of: fields of collagen and cells, fat at a side, tears."""
    center, extent = outline.mean(axis=0), np.ptp(outline, axis=0)
    patches = [Patch(outline, "stroma")]
    kinds = ["collagen"] * 9 + ["cells"] * 12 + ["fat"] * 3 + ["glass"] * 4
    for kind in kinds:
        toward = outline[rng.integers(len(outline))]
        reach = rng.uniform(0.55, 0.8) if kind == "fat" else rng.uniform(0.05, 0.85)
        at = center + (toward - center) * reach
        share = {"fat": (0.08, 0.14), "glass": (0.006, 0.02)}.get(kind, (0.03, 0.13))
        radii = extent * rng.uniform(*share, 2)
        blob = _blob(rng, (float(at[0]), float(at[1])), (float(radii[0]), float(radii[1])), 0.25, 320)
        patches.append(Patch(_inside(blob, center, outline), kind))
    return patches


def _inside(blob: Outline, center: NDArray[np.float64], outline: Outline) -> Outline:
    """The blob with every point drawn back to within the outline, seen from the centre."""
    own, edge = blob - center, outline - center
    edge_angle = np.arctan2(edge[:, 1], edge[:, 0])
    order = np.argsort(edge_angle)
    limit = np.interp(
        np.arctan2(own[:, 1], own[:, 0]), edge_angle[order], np.hypot(*edge.T)[order], period=2 * np.pi
    )
    distance = np.hypot(*own.T)
    return np.asarray(center + own * np.minimum(1, 0.985 * limit / np.maximum(distance, 1e-9))[:, None])


def _fragments(
    rng: np.random.Generator, size: Size, mpp: float, count: int
) -> tuple[list[Fragment], list[Outline]]:
    fragments, outlines = [], []
    largest = min(_LARGEST_FRAGMENT_UM, 0.2 * min(size.width, size.height) * mpp)
    for number in range(count):
        diameter_um = max(_SMALLEST_FRAGMENT_UM, largest * rng.uniform(0, 1) ** 2.5)
        radius = diameter_um / mpp / 2
        x, y = rng.uniform(0, size.width), rng.uniform(0, size.height)
        x, y = (
            float(np.clip(v, min(radius, s / 2), max(s - radius, s / 2)))
            for v, s in ((x, size.width), (y, size.height))
        )
        outlines.append(_blob(rng, (x, y), (radius * 1.15, radius * 0.95), 0.16, 160))
        fragments.append(Fragment(x, y, diameter_um, pale=number % 3 == 0))
    return fragments, outlines


def _strokes(rng: np.random.Generator, size: Size, mpp: float, contents: Contents) -> list[Stroke]:
    strokes = []
    width, height = size.width, size.height
    if contents.coverslip:
        for place in (rng.uniform(0.015, 0.04), rng.uniform(0.96, 0.985)):
            slant = rng.normal(0, 0.004)
            line = np.array([[0, (place - slant) * height], [width, (place + slant) * height]])
            strokes.append(Stroke(line, 6 / mpp, (176, 178, 180), 0.6))
    if contents.pen:
        x = np.linspace(rng.uniform(0.02, 0.1), rng.uniform(0.2, 0.35), 40)
        y = (
            rng.uniform(0.05, 0.12)
            + 0.02 * np.sin(x * rng.uniform(20, 40))
            + rng.uniform(-0.2, 0.2) * (x - x[0])
        )
        line = np.stack([x * width, y * height], axis=1)
        color = [(38, 62, 150), (30, 120, 70), (40, 40, 45)][rng.integers(3)]
        strokes.append(Stroke(line, min(450 / mpp, 0.025 * min(width, height)), color, 0.8))
    if contents.dust:
        for _ in range(25):
            start = rng.uniform(0, 1, 2) * (width, height)
            hair = rng.uniform() < 0.2
            heading = rng.uniform(0, 2 * np.pi) + np.cumsum(
                rng.normal(0, 0.35 if hair else 0, 24 if hair else 2)
            )
            step = (22 if hair else rng.uniform(1, 8)) / mpp
            path = start + np.cumsum(step * np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0)
            strokes.append(Stroke(path, rng.uniform(2, 8) / mpp, (95, 92, 90), 0.75))
    return strokes
