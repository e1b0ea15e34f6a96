"""Augmentation of patches: what scanners, stains and accidents do to slides; seeded, in NumPy and OpenCV.

Every change is a function of a sample and a random generator. Changes of colour leave the labels as they
are. What lies on the glass (pen, dust, printed dots, hairs, cover glass) stays glass. Where something opaque
covers tissue, the labels no longer score.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.slide import Pixels
from wsicomp.tissue.white_balance import WhitePoint, white_balanced
from wsicomp.training.data.labels import GLASS, IGNORED, TISSUE, Labels
from wsicomp.training.data.sampling import Random

Floats = NDArray[np.float32]

_OPAQUE = 0.35
_PENS = ((20, 20, 25), (30, 60, 160), (20, 130, 90), (190, 20, 40), (30, 150, 170), (90, 30, 130))


REACHES = ("brightness_offset", "brightness_factor")
"""The settings of an `Augmentation` that are not probabilities."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """The probability of each change, and the reach of brightness.

    The first block is the method's study, the second adds what the study found missing.
    """

    flip: float = 0.5
    """Flip."""
    blur: float = 0.15
    """Blur."""
    average_pooling: float = 0.15
    """Replace blocks of pixels by their means."""
    brightness: float = 0.5
    """Change brightness."""
    brightness_offset: float = 15.0
    """The largest change by addition, in grey levels."""
    brightness_factor: float = 0.15
    """The largest change by multiplication: 0.15 for 0.85 to 1.15."""
    hue_saturation: float = 0.3
    """Change hue and saturation."""
    coverslip_grid: float = 0.1
    """Darken rows and columns of a grid on glass."""

    rotate: float = 0.0
    """Rotate."""
    zoom: float = 0.0
    """Change the scale."""
    gamma: float = 0.0
    """Change the gamma."""
    stain: float = 0.0
    """Make the dye stronger or weaker, and shift its hue."""
    restain: float = 0.0
    """Take another dye."""
    white_balance: float = 0.0
    """Change the white balance."""
    jpeg: float = 0.0
    """Compress as JPEG."""
    noise: float = 0.0
    """Add noise."""
    pen: float = 0.0
    """Draw a marker's stroke."""
    dust: float = 0.0
    """Draw specks, hairs and bubbles."""
    printed_dots: float = 0.0
    """Draw printed dots."""
    coverslip_edge: float = 0.0
    """Draw the edge of a coverslip."""
    haze: float = 0.0
    """Stain the glass unevenly and faintly."""
    smear: float = 0.0
    """Draw smears, as of mounting medium."""
    frame_marks: float = 0.0
    """Draw dark straight bars, sharp or out of focus."""
    vignetting: float = 0.0
    """Make the light over the field uneven."""
    light: float = 0.0
    """Make the estimate of the light somewhat wrong."""


@dataclass(slots=True)
class Sample:
    """A crop on its way through the changes."""

    image: Floats
    """(rows, columns, 3) RGB, 0 to 255."""
    labels: Labels
    """(rows, columns) labels of the crop."""
    taught: Labels
    """(rows, columns) what is to be learnt: labels, and probabilities between glass and tissue."""
    light: WhitePoint
    """The light of bare glass, as a conversion would estimate it."""


def augmented_patch(
    pixels: Pixels,
    labels: Labels,
    light: WhitePoint,
    side: int,
    settings: Augmentation,
    rng: Random,
    taught: Labels | None = None,
) -> tuple[Pixels, Labels]:
    """Return a crop of a patch, changed at random and in even light, and what is to be learnt of it.

    The crop is (side, side, 3) uint8 RGB; what is to be learnt is a crop of `taught`, or else of `labels`,
    (side, side).

    `light` is the light of the patch's slide. Changes that lamp and camera make to all pixels alike change it
    too.
    """
    zoom = float(np.exp(rng.uniform(-0.45, 0.35))) if rng.random() < settings.zoom else 1.0
    whole = Sample(pixels, labels, labels if taught is None else taught, light)  # type: ignore[arg-type]
    sample = _cropped(whole, side, zoom, rng)
    for probability, change in _plan(settings):
        if rng.random() < probability:
            change(sample, rng)
            np.clip(sample.image, 0, 255, out=sample.image)
            np.clip(sample.light, 1, 255, out=sample.light)
    return white_balanced(np.rint(sample.image).astype(np.uint8), sample.light), sample.taught


def _plan(settings: Augmentation) -> tuple[tuple[float, _Change], ...]:
    """Return the changes in order: shape, dyes, things on the glass, optics, lamp, camera, file."""
    return (
        (settings.flip, _flip),
        (settings.rotate, _rotate),
        (settings.restain, _restain),
        (settings.stain, _stain),
        (settings.hue_saturation, _hue_saturation),
        (settings.haze, _haze),
        (settings.smear, _smear),
        (settings.frame_marks, _frame_marks),
        (settings.printed_dots, _printed_dots),
        (settings.dust, _dust),
        (settings.pen, _pen),
        (settings.coverslip_edge, _coverslip_edge),
        (settings.coverslip_grid, _coverslip_grid),
        (settings.blur, _blur),
        (settings.average_pooling, _average_pooling),
        (settings.vignetting, _vignetting),
        (settings.white_balance, _white_balance),
        (settings.gamma, _gamma),
        (settings.brightness, partial(_brightness, settings=settings)),
        (settings.noise, _noise),
        (settings.jpeg, _jpeg),
        (settings.light, _light),
    )


_Change = Callable[[Sample, Random], None]


def _cropped(whole: Sample, side: int, zoom: float, rng: Random) -> Sample:
    """Cut a crop, usually around a border of tissue, and enlarge or reduce it by `zoom`."""
    labels = whole.labels
    span = min(round(side / zoom), *labels.shape)
    rows, columns = labels.shape
    tissue = (labels == TISSUE).view(np.uint8)
    border = np.argwhere((cv2.blur(tissue * 255, (3, 3)) % 255) > 0)
    if len(border) and rng.random() < 0.6:
        centre_y, centre_x = border[rng.integers(len(border))]
    else:
        scored = np.argwhere(labels[::8, ::8] != IGNORED) * 8
        centre_y, centre_x = scored[rng.integers(len(scored))] if len(scored) else (0, 0)
    reach = span // 2
    top = int(np.clip(centre_y - reach + rng.integers(-reach // 2, reach // 2 + 1), 0, rows - span))
    left = int(np.clip(centre_x - reach + rng.integers(-reach // 2, reach // 2 + 1), 0, columns - span))

    def part(plane: NDArray[Any], method: int) -> NDArray[Any]:
        cut = plane[top : top + span, left : left + span]
        return np.asarray(cv2.resize(cut, (side, side), interpolation=method), np.uint8)

    smooth = cv2.INTER_AREA if span > side else cv2.INTER_LINEAR
    nearest = cv2.INTER_NEAREST_EXACT
    image = part(whole.image, smooth).astype(np.float32)
    return Sample(image, part(labels, nearest), part(whole.taught, nearest), whole.light.copy())


def _flip(sample: Sample, rng: Random) -> None:
    axis = int(rng.integers(2))
    _turned(sample, lambda plane: np.flip(plane, axis))


def _rotate(sample: Sample, rng: Random) -> None:
    turns = int(rng.integers(1, 4))
    _turned(sample, lambda plane: np.rot90(plane, turns))


def _turned(sample: Sample, turn: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    sample.image, sample.labels = turn(sample.image).copy(), turn(sample.labels).copy()
    sample.taught = turn(sample.taught).copy()


def _density(sample: Sample) -> tuple[Floats, Floats]:
    """Return (optical density per channel, light through bare glass).

    The light is that of the crop's glass, or of its brightest pixels. Source: Beer-Lambert law.
    """
    glass = sample.image[sample.labels == GLASS]
    if len(glass) < 64:
        glass = np.percentile(sample.image.reshape(-1, 3), 98, axis=0)[None]
    light = np.maximum(np.median(glass, axis=0), 1).astype(np.float32)
    return np.log((light + 1) / (sample.image + 1)), light


def _stain(sample: Sample, rng: Random) -> None:
    """Make the dye stronger or weaker, and shift its hue; bare glass keeps its colour."""
    density, light = _density(sample)
    strength = np.exp(rng.uniform(-0.9, 0.6))
    factors = strength * np.exp(rng.normal(0, 0.15, 3))
    sample.image = (light + 1) * np.exp(-density * factors.astype(np.float32)) - 1


def _restain(sample: Sample, rng: Random) -> None:
    """Take another dye: mix the channels' densities anew, as for DAB, trichrome or Nissl."""
    density, light = _density(sample)
    mixing = rng.dirichlet((0.7, 0.7, 0.7), 3).astype(np.float32) * rng.uniform(0.5, 1.6)
    sample.image = (light + 1) * np.exp(-(density @ mixing.T)) - 1


def _hue_saturation(sample: Sample, rng: Random) -> None:
    hsv = cv2.cvtColor(sample.image / np.float32(255), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + np.float32(rng.uniform(-25, 25))) % 360
    hsv[..., 1] = np.clip(hsv[..., 1] * np.float32(rng.uniform(0.5, 1.5)), 0, 1)
    sample.image = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255, np.float32)


def _lay(sample: Sample, cover: Floats, color: tuple[float, ...]) -> None:
    """Lay something coloured on the slide; `cover` is the part of each pixel that it hides, 0 to 1."""
    share = cover[..., None]
    bare = np.float32(1) - share
    sample.image = np.asarray(sample.image * bare + np.asarray(color, np.float32) * share, np.float32)
    hidden = (cover > _OPAQUE) & (sample.labels != GLASS)
    sample.labels[hidden] = sample.taught[hidden] = IGNORED


def _absorb(sample: Sample, density: Floats, rng: Random) -> None:
    """Lay something clear and tinted on the slide: pink, brown or grey. Source: Beer-Lambert law."""
    tint = np.array([rng.uniform(0.2, 1), 1, rng.uniform(0.4, 1.1)], np.float32)
    sample.image = sample.image * np.exp(-density[..., None] * tint)


def _clouds(side: int, count: int, rng: Random) -> Floats:
    """Return smooth noise of about `count` clouds a side, 0 to 1, (side, side)."""
    coarse = rng.uniform(0, 1, (count, count)).astype(np.float32)
    smooth = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(smooth, 0, 1), np.float32)


def _haze(sample: Sample, rng: Random) -> None:
    """Stain the glass unevenly and faintly, without edges."""
    clouds = _clouds(len(sample.labels), int(rng.integers(2, 7)), rng)
    _absorb(sample, clouds * np.float32(np.exp(rng.uniform(-3.5, -1.2))), rng)


def _smear(sample: Sample, rng: Random) -> None:
    """Draw smears with a rim, as mounting medium dries: even or cloudy inside."""
    side = len(sample.labels)
    shape = (_clouds(side, int(rng.integers(3, 9)), rng) > rng.uniform(0.5, 0.75)).astype(np.float32)
    shape = _soft(shape, float(rng.choice([0.7, 2.0, 5.0])))
    rim = 4 * shape * (1 - shape) * np.float32(rng.uniform(0, 0.5))
    inside = 1 - _clouds(side, int(rng.integers(3, 30)), rng) * np.float32(rng.uniform(0, 0.7))
    _absorb(sample, shape * inside * np.float32(np.exp(rng.uniform(-3, -0.8))) + rim, rng)


def _frame_marks(sample: Sample, rng: Random) -> None:
    """Draw dark straight bars, as the frame of an array slide has, sharp or out of focus."""
    side = len(sample.labels)
    cover = np.zeros((side, side), np.float32)
    tilt = rng.normal(0, 0.05)
    for _ in range(rng.integers(1, 4)):
        start, length = rng.uniform(0, side, 2), rng.uniform(0.05, 1) * side
        along = np.array([1, tilt]) if rng.random() < 0.5 else np.array([-tilt, 1])
        ends = np.rint([start, start + along * length]).astype(np.int32)
        width = int(np.exp(rng.uniform(0.7, 3.3)))
        cv2.line(cover, ends[0].tolist(), ends[1].tolist(), 1.0, width, cv2.LINE_AA)
    cover = _soft(cover, float(rng.choice([0.7, 3.0, 9.0])))
    shade = float(rng.uniform(0, 100))
    _lay(sample, cover * np.float32(rng.uniform(0.3, 0.95)), (shade, shade * rng.uniform(0.8, 1.1), shade))


def _printed_dots(sample: Sample, rng: Random) -> None:
    """Draw a lattice of dots or rings, as printed on array slides: in a frame, or faint and everywhere.

    A ring has a dark rim, often a pixel or two wide, and a paler middle. Some dots are missing.
    """
    side = len(sample.labels)
    step = float(np.exp(rng.uniform(1.8, 4.2)))
    radius, ring = step * rng.uniform(0.12, 0.42), rng.random() < 0.6
    rim = rng.uniform(0.8, max(2.5, 0.35 * radius))
    middle, missing = rng.uniform(0, 0.5), rng.uniform(0, 0.3)
    frame = rng.random() < 0.65
    band, reach = rng.uniform(0, side), rng.uniform(0.6, 4) * step
    tilt = rng.normal(0, 0.03)
    lattice = np.zeros((side, side), np.float32)
    for row in range(int(side / step) + 2):
        if frame and abs(row * step - band) > reach:
            continue
        for column in range(int(side / step) + 2):
            if rng.random() < missing:
                continue
            x, y = (column + (row % 2) / 2) * step, row * step
            x, y = x - y * tilt + rng.normal(0, 0.02) * step, y + x * tilt
            _disc(lattice, x, y, radius)
            if ring and radius > rim:
                _disc(lattice, x, y, radius - rim, middle)
    if rng.random() < 0.5:
        lattice = lattice.T.copy()
    lattice = _soft(lattice, 0.4 if rng.random() < 0.5 else rng.uniform(0.4, 1.0) * max(1, radius / 4))
    strength = rng.uniform(0.1, 0.65) if frame else rng.uniform(0.03, 0.2)
    tint = np.array([rng.uniform(0.5, 1), rng.uniform(0.8, 1.4), rng.uniform(0.6, 1.1)], np.float32)
    sample.image = sample.image * (1 - lattice[..., None] * np.float32(strength) * tint)


def _dust(sample: Sample, rng: Random) -> None:
    """Draw specks, hairs and bubbles, sharp or far out of focus."""
    side = len(sample.labels)
    cover = np.zeros((side, side), np.float32)
    for _ in range(rng.integers(1, 8)):
        _disc(cover, rng.uniform(0, side), rng.uniform(0, side), float(np.exp(rng.uniform(-0.3, 2.2))))
    if rng.random() < 0.4:
        cv2.polylines(cover, [_wander(rng, side, 12)], False, 1.0, int(rng.integers(1, 3)), cv2.LINE_AA)
    if rng.random() < 0.25:
        at = tuple(int(place) for place in rng.integers(0, side, 2))
        cv2.circle(cover, at, int(rng.integers(5, side // 4)), 0.6, int(rng.integers(1, 4)), cv2.LINE_AA)
    cover = _soft(cover, float(rng.choice([0.5, 1.0, 4.0, 9.0])))
    shade = float(rng.uniform(0, 140))
    _lay(sample, cover * np.float32(rng.uniform(0.3, 0.95)), (shade, shade * rng.uniform(0.8, 1.1), shade))


def _pen(sample: Sample, rng: Random) -> None:
    """Draw a marker's stroke: translucent or opaque ink, streaky, with soft or sharp sides."""
    side = len(sample.labels)
    cover = np.zeros((side, side), np.float32)
    width = int(np.exp(rng.uniform(1.6, 4.3)))
    cv2.polylines(cover, [_wander(rng, side, 6)], False, 1.0, width, cv2.LINE_AA)
    cover = _soft(cover, float(rng.choice([0.7, 2.0, 8.0])))
    streaks = cv2.resize(
        rng.uniform(rng.uniform(0.1, 1), 1, (int(rng.integers(2, 40)), 3)).astype(np.float32), (side, side)
    )
    cover = cover * (streaks if rng.random() < 0.5 else streaks.T) * np.float32(rng.uniform(0.35, 1))
    color = np.clip(np.array(_PENS[rng.integers(len(_PENS))]) + rng.normal(0, 20, 3), 0, 255)
    _lay(sample, np.ascontiguousarray(cover, np.float32), tuple(color))


def _coverslip_edge(sample: Sample, rng: Random) -> None:
    """Draw the edge of the cover glass: a dark line, a pale one beside it, and a darker far side."""
    side = len(sample.labels)
    angle, offset = rng.uniform(0, 2 * math.pi), rng.uniform(0.15, 0.85) * side
    y, x = np.mgrid[:side, :side].astype(np.float32)
    bend = np.float32(rng.normal(0, 0.0008))
    along = x * np.float32(math.cos(angle)) + y * np.float32(math.sin(angle))
    across = y * np.float32(math.cos(angle)) - x * np.float32(math.sin(angle))
    across = across + bend * along * along
    distance = across - np.float32(np.percentile(across, 100 * offset / side))
    width = np.float32(np.exp(rng.uniform(-0.2, 1.8)))
    line = np.exp(-((distance / width) ** 2)) * np.float32(rng.uniform(0.15, 0.9))
    glow = np.exp(-(((distance - 2.2 * width) / width) ** 2)) * np.float32(rng.uniform(0, 0.3))
    far = (distance > 0) * np.float32(rng.uniform(0, 0.12))
    sample.image = sample.image * (1 - far[..., None])
    sample.image = sample.image + (255 - sample.image) * glow[..., None].astype(np.float32)
    _lay(sample, line.astype(np.float32), (float(rng.uniform(10, 90)),) * 3)


def _coverslip_grid(sample: Sample, rng: Random) -> None:
    """Darken random rows and columns of a 30 x 30 grid to 0.4, on glass alone, as the method's study does."""
    if (sample.labels == TISSUE).any():
        return
    side = len(sample.labels)
    for axis in (0, 1):
        for cell in np.flatnonzero(rng.random(30) < 0.1):
            line = slice(int(cell) * side // 30, int(cell) * side // 30 + max(1, side // 120))
            window = (line,) if axis == 0 else (slice(None), line)
            sample.image[window] *= np.float32(0.4)


def _blur(sample: Sample, rng: Random) -> None:
    blurred = cv2.GaussianBlur(sample.image, (0, 0), float(rng.uniform(0.4, 2.0)))
    sample.image = np.asarray(blurred, np.float32)


def _average_pooling(sample: Sample, rng: Random) -> None:
    side, factor = len(sample.labels), int(rng.integers(2, 4))
    small = cv2.resize(sample.image, (side // factor, side // factor), interpolation=cv2.INTER_AREA)
    sample.image = np.asarray(cv2.resize(small, (side, side)), np.float32)


def _vignetting(sample: Sample, rng: Random) -> None:
    """Make the light over the field uneven, and tint it a little."""
    side = len(sample.labels)
    coarse = rng.uniform(1 - rng.uniform(0.03, 0.35), 1.0, (3, 3, 1)) + rng.normal(0, 0.02, (3, 3, 3))
    light = cv2.resize(coarse.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    sample.image = sample.image * light


def _white_balance(sample: Sample, rng: Random) -> None:
    tint = np.exp(rng.normal(0, 0.08, 3))
    _recolor(sample, lambda colors: colors * tint)


def _gamma(sample: Sample, rng: Random) -> None:
    exponent = float(np.exp(rng.uniform(-0.5, 0.6)))
    _recolor(sample, lambda colors: 255 * (colors / 255) ** exponent)


def _light(sample: Sample, rng: Random) -> None:
    """Make the estimate of the light somewhat wrong."""
    error = np.exp(rng.normal(0, 0.04) + rng.normal(0, 0.015, 3))
    sample.light = sample.light * error.astype(np.float32)


def _recolor(sample: Sample, change: Callable[[Floats], Any]) -> None:
    """Change every pixel alike, and with them the light of bare glass."""
    sample.image = np.asarray(change(sample.image), np.float32)
    sample.light = np.asarray(change(sample.light), np.float32)


def _brightness(sample: Sample, rng: Random, settings: Augmentation) -> None:
    factor = 1 + rng.uniform(-settings.brightness_factor, settings.brightness_factor)
    offset = rng.uniform(-settings.brightness_offset, settings.brightness_offset)
    _recolor(sample, lambda colors: colors * factor + offset)


def _noise(sample: Sample, rng: Random) -> None:
    shape = sample.image.shape
    sample.image = sample.image + rng.standard_normal(shape, np.float32) * np.float32(rng.uniform(1, 8))


def _jpeg(sample: Sample, rng: Random) -> None:
    quality = int(rng.integers(25, 95))
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    data = cv2.imencode(".jpg", np.rint(sample.image).astype(np.uint8)[..., ::-1], options)[1]
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None, "what OpenCV has encoded, it decodes"
    sample.image = decoded[..., ::-1].astype(np.float32)


def _disc(cover: Floats, x: float, y: float, radius: float, value: float = 1.0) -> None:
    shift = 4
    centre = round(x * (1 << shift)), round(y * (1 << shift))
    cv2.circle(cover, centre, max(1, round(radius * (1 << shift))), value, cv2.FILLED, cv2.LINE_AA, shift)


def _wander(rng: Random, side: int, count: int) -> NDArray[np.int32]:
    """Return the points of a smooth path across the patch."""
    start, end = rng.uniform(-0.2, 1.2, 2) * side, rng.uniform(-0.2, 1.2, 2) * side
    share = np.linspace(0, 1, count)[:, None]
    sway = np.cumsum(rng.normal(0, 0.05 * side, (count, 2)), axis=0)
    return np.asarray(np.rint(start * (1 - share) + end * share + sway), np.int32)[:, None]


def _soft(cover: Floats, sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(np.clip(cover, 0, 1), (0, 0), sigma), np.float32)
