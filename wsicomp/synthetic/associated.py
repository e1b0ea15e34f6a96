"""The images and texts of an svs beside its levels: label, macro photograph, ImageDescription."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.geometry import Region, Size
from wsicomp.synthetic.form import SyntheticFormat
from wsicomp.synthetic.slide import SyntheticSlide

LIBRARY = "Aperio Image Library v12.0.0"
THUMBNAIL_PX = 1024
LABEL_SIZE = Size(387, 463)
MACRO_SIZE = Size(1280, 431)
INK = (60, 55, 70)


def svs_level_description(slide: SyntheticSlide, form: SyntheticFormat, reduced: Size | None) -> str:
    """Return the ImageDescription of level 0 of an svs, or of a reduced level of this size."""
    whole, tile = f"{slide.size.width}x{slide.size.height}", f"{form.tile_px}x{form.tile_px}"
    shown = "" if reduced is None else f" -> {reduced.width}x{reduced.height}"
    first = f"{whole} [0,0 {whole}] ({tile}){shown} {_coding(form)}"
    return f"{LIBRARY}\r\n{first}{_fields(slide, form)}"


def thumbnail_description(slide: SyntheticSlide, form: SyntheticFormat, small: Size) -> str:
    """Return the ImageDescription of an svs's thumbnail."""
    first = f"{slide.size.width}x{slide.size.height} -> {small.width}x{small.height} - "
    return f"{LIBRARY}\r\n{first}{_fields(slide, form)}"


def associated_image_description(name: str, size: Size) -> str:
    """Return the ImageDescription of an svs's label or macro."""
    return f"{LIBRARY}\r\n{name} {size.width}x{size.height}"


def _coding(form: SyntheticFormat) -> str:
    names = {
        "jpeg": "JPEG/RGB" if form.photometric == "rgb" else "JPEG/YCC",
        "jpeg2000-rgb": "J2K/KDU",
        "jpeg2000-ycbcr": "J2K/YUV16",
    }
    return f"{names[form.compression]} Q={form.quality}" if form.compression in names else "RAW"


def _fields(slide: SyntheticSlide, form: SyntheticFormat) -> str:
    """Return the "key = value" part; without scale if the format does not state it."""
    scale = []
    if form.states_mpp:
        scale = [] if form.objective_power is None else [f"AppMag = {form.objective_power:g}"]
        scale.append(f"MPP = {slide.mpp:.4f}")
    others = [
        "StripeWidth = 2040",
        "ScanScope ID = SS0000",
        f"Filename = synthetic-{slide.seed}",
        "Date = 01/02/20",
        "Time = 03:04:05",
        "Time Zone = GMT+00:00",
        "User = Mara Mustermann",
        f"ImageID = {1000000 + slide.seed}",
        f"OriginalWidth = {slide.size.width}",
        f"OriginalHeight = {slide.size.height}",
        "Left = 25.500000",
        "Top = 22.250000",
    ]
    return "|" + "|".join(scale + others)


@lru_cache(maxsize=1)
def thumbnail(slide: SyntheticSlide) -> NDArray[np.uint8]:
    """Return the whole slide, at most THUMBNAIL_PX long, (rows, columns, 3) uint8 RGB; do not write to it.

    It is kept for the macro, which shows it too.
    """
    side = max(slide.size.width, slide.size.height)
    downsample = max(1, -(-side // THUMBNAIL_PX))
    small = slide.size.reduced(downsample)
    return slide.render(Region(0, 0, small.width, small.height), downsample)


def label(slide: SyntheticSlide) -> NDArray[np.uint8]:
    """Return a sticker with a made-up name, a number and a square code, (rows, columns, 3) uint8 RGB."""
    rng = np.random.default_rng([slide.seed, 11])
    picture = np.full((*LABEL_SIZE.shape, 3), (236, 234, 226), np.uint8)
    code = rng.integers(0, 2, (21, 21), dtype=np.uint8) * np.uint8(200) + np.uint8(20)
    square = cv2.resize(code, (189, 189), interpolation=cv2.INTER_NEAREST)
    picture[230:419, 30:219] = square[..., None]
    lines = (f"S20-{1000 + slide.seed:05d}", "M. MUSTERMANN", "H&E   A1", "01/02/2020")
    for number, line in enumerate(lines):
        at = (26, 56 + 46 * number)
        cv2.putText(picture, line, at, cv2.FONT_HERSHEY_SIMPLEX, 1.05, INK, 2, cv2.LINE_AA)
    return picture


def macro(slide: SyntheticSlide) -> NDArray[np.uint8]:
    """Return a photograph of the glass slide, (rows, columns, 3) uint8 RGB.

    The sticker is on the left, the scanned area framed on the right.
    """
    rows, columns = MACRO_SIZE.shape
    shade = np.linspace(222, 208, columns)[None, :, None] + np.linspace(3, -3, rows)[:, None, None]
    picture = np.asarray(np.broadcast_to(shade, (rows, columns, 3)), dtype=np.uint8).copy()
    sticker = cv2.resize(label(slide), (310, 371), interpolation=cv2.INTER_AREA)
    picture[30:401, 22:332] = sticker
    small = thumbnail(slide)
    factor = min(820 / small.shape[1], 360 / small.shape[0])
    width, height = (max(1, round(side * factor)) for side in (small.shape[1], small.shape[0]))
    scanned = cv2.resize(small, (width, height), interpolation=cv2.INTER_AREA)
    top, left = (rows - height) // 2, 360 + (890 - width) // 2
    under = picture[top : top + height, left : left + width].astype(np.float32)
    picture[top : top + height, left : left + width] = np.rint(under * scanned / 244).clip(0, 255)
    cv2.rectangle(picture, (left - 2, top - 2), (left + width + 1, top + height + 1), (40, 160, 60), 1)
    return picture
