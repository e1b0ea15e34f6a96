"""Numbers that slides state as text, and the ranges in which they can be a scale."""

from __future__ import annotations

import math
import re

_DECIMAL = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_HEXADECIMAL = re.compile(r"[-+]?0[xX][0-9a-fA-F]{1,64}", re.ASCII)
BLANKS = " \t\n\f\r"
"""The characters that OpenSlide strips from both ends of a value: fewer than Python strips."""

_SCALES = 1e-5, 1e5
"""The least and the largest um per px of a slide; a hydrogen atom is 1e-4 um wide."""
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
