"""Numbers that slides state as text, and the ranges in which they can be a scale."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from openslide import PROPERTY_NAME_MPP_X, PROPERTY_NAME_MPP_Y, PROPERTY_NAME_OBJECTIVE_POWER

from wsicomp.geometry import Mpp, Size
from wsicomp.slide import SlideInfo

_DECIMAL = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_HEXADECIMAL = re.compile(r"[-+]?0[xX][0-9a-fA-F]{1,64}", re.ASCII)
BLANKS = " \t\n\f\r"
"""The characters that OpenSlide strips from both ends of a value: fewer than Python strips."""

_OPENSLIDE_MPP = PROPERTY_NAME_MPP_X, PROPERTY_NAME_MPP_Y
_SCALES = 1e-5, 1e5
"""The least and the largest um per px of a slide; a hydrogen atom is 1e-4 um wide."""
MPP_AT_1X = 10.0
"""Micrometres per pixel at a magnification of 1: a 40x scan has 0.25."""
_PLAUSIBLE_MPP = 0.02, 200.0
_WIDEST_UM = 300_000.0
_WHOLE = 0.01
"""The part by which a downsample may be off a whole number, because sizes of levels were rounded."""
_POWERS = 0.05, 500.0
"""The least and the largest objective power of a slide, those of 200 and 0.02 um per px."""


def positive_number(text: str | None) -> float | None:
    """Return a finite number over 0, with a decimal point or comma; None for any other text.

    Source: OpenSlide's `_openslide_parse_double`, which reads hexadecimal too.

    >>> positive_number("0,25"), positive_number("unknown")
    (0.25, None)
    """
    text = (text or "").strip(BLANKS).replace(",", ".")
    if _HEXADECIMAL.fullmatch(text):
        value = float(int(text, 16))
    elif _DECIMAL.fullmatch(text):
        value = float(text)
    else:
        return None
    return value if 0 < value < math.inf else None


def scale_of(value: float | None) -> float | None:
    """Return a stated um per px; None if it is None or outside the range of slides."""
    return value if value is not None and _SCALES[0] <= value <= _SCALES[1] else None


def power_of(value: float | None) -> float | None:
    """Return a stated objective power; None if it is None or outside the range of slides."""
    return value if value is not None and _POWERS[0] <= value <= _POWERS[1] else None


def openslide_scale(properties: Mapping[str, str]) -> tuple[Mpp | None, float | None]:
    """Return the um per px and the objective power that OpenSlide's properties state; None where they do not.

    >>> openslide_scale({"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.25"})
    (Mpp(x=0.25, y=0.25), None)
    """
    x, y = (scale_of(positive_number(properties.get(name))) for name in _OPENSLIDE_MPP)
    power = power_of(positive_number(properties.get(PROPERTY_NAME_OBJECTIVE_POWER)))
    return (Mpp(x, y) if x and y else None), power


def plausible_mpp(info: SlideInfo) -> float | None:
    """Return the file's um per level-0 pixel; None if it states none or a value that no slide can have.

    Plausible are 0.02 to 200 um with no side over 30 cm. Files often state printing resolutions (72 dpi), or
    mm for um.
    """
    return _plausible(info.mpp, info.size)


def _plausible(stated: Mpp | None, size: Size) -> float | None:
    if stated is None:
        return None
    mpp, (least, most) = stated.mean, _PLAUSIBLE_MPP
    return mpp if least <= mpp <= most and mpp * max(size.shape) <= _WIDEST_UM else None


def stated_power(power: float | None, mpp: Mpp | None, size: Size) -> float | None:
    """Return an objective power, or the one that a plausible um per px amounts to; None if there is neither.

    >>> stated_power(None, Mpp(0.5, 0.5), Size(2000, 1000))
    20.0
    """
    plausible = _plausible(mpp, size)
    return power if power is not None or plausible is None else MPP_AT_1X / plausible


def power_at(power: float, downsample: float) -> float:
    """Return the objective power of a level, in four digits; a downsample of nearly a whole number is that.

    >>> power_at(40.0, 4.0006), power_at(40.0, 3.5)
    (10.0, 11.43)
    """
    whole = max(1, round(downsample))
    step = whole if abs(downsample / whole - 1) <= _WHOLE else downsample
    return float(f"{power / step:.4g}")


def power_text(power: float | None) -> str:
    """Return an objective power in words, behind what has it: " (20x)"; "" where it is not known."""
    return "" if power is None else f" ({power:.3g}x)"
