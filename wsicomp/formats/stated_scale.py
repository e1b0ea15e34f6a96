"""Numbers that slides state as text, and which of them can be a scale."""

from __future__ import annotations

import math
import re

_DECIMAL = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_HEXADECIMAL = re.compile(r"[-+]?0[xX][0-9a-fA-F]{1,64}", re.ASCII)
BLANKS = " \t\n\f\r"
"""What OpenSlide takes off both ends of a value: less than Python does."""

_SCALES = 1e-5, 1e5
"""Um per px: what a TIFF can state. Nothing beyond is a slide's: a hydrogen atom is 1e-4 um wide."""
_POWERS = 0.05, 500.0
"""Objective powers of 200 to 0.02 um per px, beyond which no slide was ever scanned."""


def positive_number(text: str | None) -> float | None:
    """A finite number over 0, with a decimal point or comma; None for anything else.

    Source: OpenSlide's `_openslide_parse_double`, which reads hexadecimal too.
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
    """A stated um per px; None for one that is nonsense, which is as good as not stated."""
    return value if value is not None and _SCALES[0] <= value <= _SCALES[1] else None


def power_of(value: float | None) -> float | None:
    """A stated objective power; None for one that is nonsense."""
    return value if value is not None and _POWERS[0] <= value <= _POWERS[1] else None
