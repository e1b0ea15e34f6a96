"""The texture of each kind of tissue: where hematoxylin and eosin are, as seamless square images.

The five kinds are drawn once for each mpp and shared by all slides of that mpp. A slide's own
colours come later, from its stain. Densities are stored as 100 steps per unit of optical density.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.synthetic.noise import Floats, displaced, periodic_noise, periodic_octaves

PERIOD = 2048
"""The side of a texture in pixels, after which it repeats."""
DENSITY_STEPS = 100
"""Steps for a unit of optical density."""


class Kind(Enum):
    """The kinds of tissue of a section."""

    COLLAGEN = 1
    LOOSE = 2
    EPITHELIUM = 3
    LYMPHOID = 4
    FAT = 5


@dataclass(frozen=True)
class Densities:
    """Hematoxylin and eosin, each (PERIOD, PERIOD) uint8 in hundredths of optical density."""

    hematoxylin: NDArray[np.uint8]
    eosin: NDArray[np.uint8]


@dataclass(frozen=True)
class Nuclei:
    """The look of the nuclei of a kind."""

    spacing: float
    """The distance between neighbours, in um."""
    long_axis: tuple[float, float]
    """The least and the greatest length, in um."""
    roundness: tuple[float, float]
    """The least and the greatest width, as a part of the length."""
    tilt: float
    """The greatest angle to the x axis, in degrees."""
    stain: tuple[float, float]
    """The least and the greatest optical density."""
    kept: float = 1.0
    """The part of the places that have a nucleus."""


SPINDLE = Nuclei(14, (8, 15), (0.18, 0.38), 16, (0.7, 1.4), 0.45)
SPARSE = Nuclei(15, (6, 12), (0.25, 0.7), 40, (0.7, 1.4), 0.5)
VESICULAR = Nuclei(10.5, (7.0, 10.5), (0.62, 0.92), 90, (0.55, 1.15))
LYMPHOCYTE = Nuclei(7.4, (4.6, 6.6), (0.8, 1.0), 90, (1.15, 1.8), 0.93)
ROUNDING_UM = 3.2
ADIPOCYTE = Nuclei(48, (6, 9), (0.25, 0.45), 90, (0.8, 1.3), 0.5)


@lru_cache(maxsize=len(Kind))
def densities(kind: Kind, mpp: float) -> Densities:
    """Return the densities of both stains in a kind of tissue, drawn at `mpp` um per pixel."""
    rng = np.random.default_rng([kind.value, round(mpp * 10000)])
    draw = {
        Kind.COLLAGEN: _collagen,
        Kind.LOOSE: _loose,
        Kind.EPITHELIUM: _epithelium,
        Kind.LYMPHOID: _lymphoid,
        Kind.FAT: _fat,
    }[kind]
    hematoxylin, eosin = draw(rng, mpp)
    return Densities(_steps(hematoxylin), _steps(eosin))


def _steps(density: Floats) -> NDArray[np.uint8]:
    return np.asarray(np.clip(density * DENSITY_STEPS, 0, 255), dtype=np.uint8)


def _noise(rng: np.random.Generator, mpp: float, along_x: float, along_y: float | None = None) -> Floats:
    """Return seamless noise with wavelengths in um."""
    return periodic_noise(rng, PERIOD, (along_x / mpp, (along_y or along_x) / mpp))


def _grain(rng: np.random.Generator, strength: float) -> Floats:
    """Return differences between neighbouring pixels: sensor noise, and structure below the resolution."""
    raw = rng.standard_normal((PERIOD, PERIOD), dtype=np.float32) * np.float32(strength)
    return np.asarray(cv2.blur(raw, (2, 2)), dtype=np.float32)


def _collagen(rng: np.random.Generator, mpp: float) -> tuple[Floats, Floats]:
    """Draw thick wavy pink bundles parted by thin clefts, with spindle nuclei between them."""
    nuclei = _nuclei(rng, mpp, SPINDLE)
    bundles = 0.13 * _noise(rng, mpp, 90, 9) + 0.06 * _noise(rng, mpp, 24, 2.2)
    eosin = 0.56 + 0.04 * _noise(rng, mpp, 120) + bundles
    cleft = _noise(rng, mpp, 60, 9) + 0.45 * _noise(rng, mpp, 25, 4) + 0.3 * _noise(rng, mpp, 120)
    open_ = np.clip((cleft - 1.45) * 4, 0, 0.97)
    eosin = eosin * (1 - open_) + 0.12 * np.clip(1 - np.abs(cleft - 1.1) * 6, 0, 1)
    hematoxylin = 0.05 + nuclei * (1 - open_)
    return _waved(rng, mpp, hematoxylin, eosin + _grain(rng, 0.04))


def _loose(rng: np.random.Generator, mpp: float) -> tuple[Floats, Floats]:
    """Draw a pale meshwork: thin strands around watery gaps, a few rounder nuclei."""
    nuclei = _nuclei(rng, mpp, SPARSE)
    mesh = np.abs(_noise(rng, mpp, 40, 12) + 0.4 * _noise(rng, mpp, 10, 4))
    strands = np.asarray(np.clip(1 - 1.6 * mesh, 0, 1) ** 1.5, dtype=np.float32)
    eosin = 0.17 + 0.30 * strands + 0.06 * _noise(rng, mpp, 150)
    gap = _noise(rng, mpp, 45, 22) + 0.4 * _noise(rng, mpp, 12)
    open_ = np.asarray(np.clip((gap - 1.2) * 3, 0, 0.9), dtype=np.float32)
    eosin = eosin * (1 - open_) + 0.05 * _noise(rng, mpp, 14, 2.2)
    hematoxylin = 0.06 + nuclei * (1 - open_)
    return _waved(rng, mpp, hematoxylin, eosin + _grain(rng, 0.04))


def _waved(rng: np.random.Generator, mpp: float, hematoxylin: Floats, eosin: Floats) -> tuple[Floats, Floats]:
    """Bend both stains along the same crimps, as fibres run."""
    crimps = np.float32(8) * _noise(rng, mpp, 60, 130) + np.float32(3) * _noise(rng, mpp, 25, 60)
    up = np.asarray(crimps / mpp, dtype=np.float32)
    return displaced(hematoxylin, np.float32(0), up), displaced(eosin, np.float32(0), up)


def _epithelium(rng: np.random.Generator, mpp: float) -> tuple[Floats, Floats]:
    """Draw sheets of cells with large vesicular nuclei in purple cytoplasm."""
    nuclei = _nuclei(rng, mpp, VESICULAR)
    eosin = 0.34 + 0.07 * _noise(rng, mpp, 60) + 0.05 * _noise(rng, mpp, 7) + _grain(rng, 0.06)
    hematoxylin = 0.20 + 0.05 * _noise(rng, mpp, 90) + 0.04 * _noise(rng, mpp, 5) + nuclei
    slit = periodic_octaves(rng, PERIOD, (60 / mpp, 24 / mpp, 8 / mpp))
    open_ = np.clip((slit - 1.9) * 5, 0, 0.95)
    return hematoxylin * (1 - open_), eosin * (1 - open_)


def _lymphoid(rng: np.random.Generator, mpp: float) -> tuple[Floats, Floats]:
    """Draw crowded small dark round nuclei with hardly any cytoplasm."""
    nuclei = _nuclei(rng, mpp, LYMPHOCYTE)
    eosin = 0.27 + 0.06 * _noise(rng, mpp, 80) + 0.08 * _noise(rng, mpp, 6) + _grain(rng, 0.05)
    return 0.10 + nuclei, eosin


def _fat(rng: np.random.Generator, mpp: float) -> tuple[Floats, Floats]:
    """Draw round empty vacuoles with thin pink walls that thicken where three meet."""
    nuclei = _nuclei(rng, mpp, ADIPOCYTE)
    rounded, wall = _cell_walls(rng, mpp, spacing=58)
    thickness = 1.1 + 0.5 * np.clip(_noise(rng, mpp, 50), -1.2, 2)
    solid = np.clip((thickness - rounded) / 1.2 + 0.5, 0, 1)
    eosin = solid * (0.42 + 0.08 * _noise(rng, mpp, 6)) + _grain(rng, 0.025) + 0.015
    near = np.clip((9 - wall) / 3, 0, 1)
    return 0.02 + 0.05 * solid + nuclei * near, eosin


def _cell_walls(rng: np.random.Generator, mpp: float, spacing: float) -> tuple[Floats, Floats]:
    """Return distances in um to the walls of a seamless foam of cells, with round and with sharp corners."""
    half = PERIOD // 2
    count = max(4, round(PERIOD * mpp / spacing))
    pitch = np.float32(half / count)
    jitter = rng.uniform(0.12, 0.88, (count, count, 2)).astype(np.float32)
    y, x = np.mgrid[0:half, 0:half].astype(np.float32)
    x += np.float32(0.12) * pitch * periodic_noise(rng, half, (float(pitch), float(pitch)))
    best = np.full((3, half, half), np.float32(1e6))
    column, row = np.floor(x / pitch).astype(np.int32), np.floor(y / pitch).astype(np.int32)
    for step in range(9):
        i, j = column + step % 3 - 1, row + step // 3 - 1
        shift = jitter[j % count, i % count]
        middle_x, middle_y = i.astype(np.float32) + shift[..., 0], j.astype(np.float32) + shift[..., 1]
        distance = np.hypot(middle_x * pitch - x, middle_y * pitch - y)
        for rank in range(3):
            low = np.minimum(best[rank], distance)
            distance, best[rank] = np.maximum(best[rank], distance), low
    wall, corner = (best[rank] - best[0] for rank in (1, 2))
    # A soft minimum rounds the corners, as the fat's surface tension does.
    softness = np.float32(ROUNDING_UM / mpp / 2)
    rounded = -softness * np.log(np.exp(-wall / softness) + np.exp(-corner / softness))
    return _doubled(rounded, 2 * mpp), _doubled(wall, 2 * mpp)


def _doubled(half: Floats, factor: float) -> Floats:
    """Return a half-sized plane at full size, its values multiplied by `factor`."""
    scaled = np.asarray(half * np.float32(factor), dtype=np.float32)
    return np.asarray(cv2.resize(scaled, (PERIOD, PERIOD), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _nuclei(rng: np.random.Generator, mpp: float, appearance: Nuclei) -> Floats:
    """Return the optical density of nuclei on a jittered grid: darker rims, chromatin clumps, soft edges."""
    plane = np.zeros((PERIOD, PERIOD), np.uint8)
    for nucleus in _placed(rng, mpp, appearance):
        _draw_nucleus(plane, nucleus)
    soft = cv2.GaussianBlur(plane, (0, 0), 0.35 / mpp + 0.2)
    density = np.asarray(soft, dtype=np.float32) / np.float32(DENSITY_STEPS)
    chromatin = 1 + 0.16 * _noise(rng, mpp, 1.6) + 0.08 * _noise(rng, mpp, 3.5)
    return np.asarray(density * np.clip(chromatin, 0.4, 1.6), dtype=np.float32)


def _placed(rng: np.random.Generator, mpp: float, appearance: Nuclei) -> NDArray[np.float64]:
    """Return rows of (x, y, long radius, short radius, degrees, stain) in pixels, wrapped at the borders."""
    count = max(2, round(PERIOD * mpp / appearance.spacing))
    pitch = PERIOD / count
    row, column = (each.ravel() for each in np.mgrid[0:count, 0:count])
    total = row.size
    x = (column + 0.5 * (row % 2) + rng.uniform(0.1, 0.9, total)) * pitch % PERIOD
    y = (row + rng.uniform(0.1, 0.9, total)) * pitch
    radius = rng.uniform(*appearance.long_axis, total) / 2 / mpp
    short = radius * rng.uniform(*appearance.roundness, total)
    degrees = rng.uniform(-appearance.tilt, appearance.tilt, total)
    table = np.stack([x, y, radius, short, degrees, rng.uniform(*appearance.stain, total)], axis=1)
    table = table[rng.uniform(size=total) < appearance.kept]
    return _wrapped(table, float(radius.max()) + 2)


def _wrapped(table: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Return the rows, with those near a border repeated on the far side."""
    for axis in (0, 1):
        low, high = table[table[:, axis] < reach], table[table[:, axis] > PERIOD - reach]
        step = np.zeros(table.shape[1])
        step[axis] = PERIOD
        table = np.concatenate([table, low + step, high - step])
    return table


def _draw_nucleus(plane: NDArray[np.uint8], nucleus: NDArray[np.float64]) -> None:
    x, y, long, short, degrees, stain = nucleus.tolist()
    centre = (round(x * 16), round(y * 16))
    axes = (round(long * 16), round(short * 16))
    rim = min(255.0, stain * 1.2 * DENSITY_STEPS)
    cv2.ellipse(plane, centre, axes, degrees, 0, 360, rim, -1, cv2.LINE_AA, 4)
    if short > 2.2:
        inner = (round((long - 1.1) * 16), round((short - 1.1) * 16))
        cv2.ellipse(plane, centre, inner, degrees, 0, 360, stain * DENSITY_STEPS, -1, cv2.LINE_AA, 4)
