"""Numbers that slides state as text."""

from __future__ import annotations

import math


def positive_number(text: str | None) -> float | None:
    """A finite number over 0, with a decimal point or comma; None for anything else."""
    try:
        value = float((text or "").replace(",", "."))
    except ValueError:
        return None
    return value if 0 < value < math.inf else None
