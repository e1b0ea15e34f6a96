"""The layout of a slide: where sections lie and which tissue they consist of, as fields on a coarse grid.

A field has one value per CELL x CELL level-0 pixels, which is small for any slide. Finer detail comes from
periodic noise when a block is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from wsicomp.geometry import Size
from wsicomp.synthetic.noise import Floats, displaced, open_noise

CELL = 64
"""The side of a field's cell in level-0 pixels."""
FARTHEST_UM = 3000.0
"""The greatest distance that a field states."""


@dataclass(frozen=True)
class Ground:
    """The values that the layout of a slide starts from."""

    size: Size
    """Width and height of level 0 in pixels."""
    mpp: float
    """Um per level-0 pixel."""
    sections: int
    """The number of sections."""
    tissue_fraction: float
    """The part of the slide's area that the sections cover."""

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of the fields."""
        return max(2, -(-self.size.height // CELL)), max(2, -(-self.size.width // CELL))

    @property
    def cell_um(self) -> float:
        """The side of a field's cell in um."""
        return CELL * self.mpp

    @property
    def shorter_um(self) -> float:
        """The shorter side of the slide in um."""
        return min(self.size.width, self.size.height) * self.mpp

    def noise(self, rng: np.random.Generator, wavelength_um: float) -> Floats:
        """Return smooth noise of spread 1 on the grid, (rows, columns) float32."""
        return open_noise(rng, self.grid, wavelength_um / self.cell_um)

    def stirred(self, rng: np.random.Generator, wavelength_um: float) -> Floats:
        """Return smooth noise, (rows, columns), with shapes that do not follow the axes of its spline."""
        wavelength = wavelength_um / self.cell_um
        margin = int(wavelength) + 2
        rows, columns = self.grid
        straight = open_noise(rng, (rows + 2 * margin, columns + 2 * margin), wavelength)
        along_x, along_y = (open_noise(rng, straight.shape, wavelength) for _ in range(2))
        reach = np.float32(0.35 * wavelength)
        moved = displaced(straight, along_x * reach, along_y * reach)
        return np.ascontiguousarray(moved[margin : margin + rows, margin : margin + columns])


FIELDS = ("section", "epithelium", "fat", "lymphoid", "loose", "moved_x", "moved_y", "tone", "shade")
"""Names of the fields, in the order of the stack. Distances (positive inside) and displacements are in um."""


def drawn_fields(ground: Ground, rng: np.random.Generator) -> dict[str, Floats]:
    """Return all fields of a slide by name, each float32 of the grid's shape."""
    # Small slides get smaller regions, so that they too show more than one kind of tissue.
    scale = min(1.0, ground.shorter_um / 2500 + 0.15)
    lobes = [_lobe(ground, rng, number) for number in range(ground.sections)]
    moved_x, moved_y = _moved(ground, rng, lobes)
    return {
        "section": _sections(ground, lobes),
        "epithelium": _nests(ground, rng, scale),
        "fat": _region(ground, rng, 2000 * scale, 1.2),
        "lymphoid": _region(ground, rng, 650 * scale, 1.15),
        "loose": _region(ground, rng, 1500 * scale, 0.4),
        "moved_x": moved_x,
        "moved_y": moved_y,
        "tone": ground.noise(rng, 1200) + np.float32(0.5) * ground.noise(rng, 300),
        "shade": np.float32(2.2) * ground.noise(rng, 14000) + np.float32(1.1) * ground.noise(rng, 4500),
    }


def _moved(ground: Ground, rng: np.random.Generator, lobes: list[Floats]) -> tuple[Floats, Floats]:
    """Return how far textures are moved, in um: fibres swirl, and each section has its own direction."""
    moved_x = np.float32(110) * ground.noise(rng, 1000)
    moved_y = np.float32(270) * ground.noise(rng, 1500) + np.float32(40) * ground.noise(rng, 500)
    angles = rng.uniform(0, np.pi, max(1, len(lobes)))
    owner = np.argmax(np.stack(lobes), axis=0) if lobes else np.zeros(ground.grid, np.int64)
    y, x = np.mgrid[0 : owner.shape[0], 0 : owner.shape[1]] * ground.cell_um
    cosine, sine = np.cos(angles)[owner], np.sin(angles)[owner]
    turned_x, turned_y = cosine * x - sine * y - x, sine * x + cosine * y - y
    return (moved_x + turned_x).astype(np.float32), (moved_y + turned_y).astype(np.float32)


def _region(ground: Ground, rng: np.random.Generator, wavelength: float, rarity: float) -> Floats:
    """Return a field in um, positive where a kind of tissue is; `rarity` is in standard deviations."""
    field = ground.stirred(rng, wavelength) + np.float32(0.45) * ground.stirred(rng, wavelength / 3)
    field += np.float32(0.22) * ground.stirred(rng, wavelength / 8)
    return np.asarray((field - rarity) * (wavelength / 4), dtype=np.float32)


def _nests(ground: Ground, rng: np.random.Generator, scale: float) -> Floats:
    """Return the region of epithelium, parted by thin septa of stroma, in um."""
    sheet = _region(ground, rng, 1150 * scale, 0.3)
    wavelength = 420 * scale
    septum = np.abs(ground.stirred(rng, wavelength) + np.float32(0.3) * ground.stirred(rng, wavelength / 3))
    width = np.clip(np.float32(0.13) + np.float32(0.10) * ground.noise(rng, 1400 * scale), -0.1, 0.5)
    return np.minimum(sheet, np.asarray((septum - width) * (wavelength / 2.2), dtype=np.float32))


def _sections(ground: Ground, lobes: list[Floats]) -> Floats:
    """Return the distance to the outline of the sections in um, positive inside."""
    if not lobes or ground.tissue_fraction <= 0:
        return np.full(ground.grid, -FARTHEST_UM, np.float32)
    field = _union(lobes) - _border(ground) * np.float32(0.8)
    share = min(ground.tissue_fraction, 0.97)
    return _distance(field - np.float32(np.quantile(field, 1 - share)), ground)


def _lobe(ground: Ground, rng: np.random.Generator, number: int) -> Floats:
    """Return one section's field, highest in its middle; sections stand in a row along the longer side."""
    rows, columns = ground.grid
    width, height = columns * ground.cell_um, rows * ground.cell_um
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32) * np.float32(ground.cell_um)
    middle = (number + 0.5 + rng.uniform(-0.08, 0.08)) / ground.sections
    off = 0.5 + rng.uniform(-0.05, 0.05)
    wide = width >= height
    x, y = (x - width * middle, y - height * off) if wide else (x - width * off, y - height * middle)
    long, short = (height, width / ground.sections) if wide else (width, height / ground.sections)
    across, along = (x, y) if wide else (y, x)
    turn = rng.uniform(-0.3, 0.3)
    across, along = across + turn * along, along - turn * across
    reach = np.hypot(across / (0.42 * short), along / (0.42 * long))
    size = min(short, long)
    rough = 0.28 * ground.stirred(rng, size * 0.45) + 0.15 * ground.stirred(rng, size * 0.2)
    rough += 0.07 * ground.stirred(rng, size * 0.08) + 0.04 * ground.stirred(rng, size * 0.035)
    return np.asarray(1 - reach + rough, dtype=np.float32)


def _union(lobes: list[Floats]) -> Floats:
    """Return the highest lobe everywhere, lowered where the second is nearly as high.

    The sections are parted by a gap there.
    """
    stack = np.sort(np.stack(lobes), axis=0)
    if len(lobes) == 1:
        return np.asarray(stack[0])
    closeness = np.clip(stack[-2] + 0.14 - stack[-1], 0, None)
    return np.asarray(stack[-1] - 3 * closeness, dtype=np.float32)


def _border(ground: Ground) -> Floats:
    """Return 1 at the slide's edge, falling to 0 at six hundredths of the shorter side."""
    rows, columns = ground.grid
    y, x = np.mgrid[0:rows, 0:columns]
    inside = np.minimum(np.minimum(x + 0.5, columns - x - 0.5), np.minimum(y + 0.5, rows - y - 0.5))
    return np.asarray(np.clip(1 - inside / (0.06 * min(rows, columns)), 0, 1), dtype=np.float32)


def _distance(field: Floats, ground: Ground) -> Floats:
    """Return the distance in um to the field's zero line, positive where the field is."""
    rows, columns = field.shape
    fine = cv2.resize(field, (columns * 2, rows * 2), interpolation=cv2.INTER_CUBIC)
    padded = np.pad(fine > 0, 1, mode="edge").astype(np.uint8)
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(1 - padded, cv2.DIST_L2, 5)
    signed = np.clip((inside - outside)[1:-1, 1:-1], -1e5, 1e5)
    coarse = cv2.resize(signed, (columns, rows), interpolation=cv2.INTER_AREA) * (ground.cell_um / 2)
    return np.asarray(np.clip(coarse, -FARTHEST_UM, FARTHEST_UM), dtype=np.float32)


def value_at(field: Floats, x: float, y: float) -> float:
    """Return the field's value at (x, y) in level-0 pixels."""
    row = min(max(int(y // CELL), 0), field.shape[0] - 1)
    column = min(max(int(x // CELL), 0), field.shape[1] - 1)
    return float(field[row, column])
