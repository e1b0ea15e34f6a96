"""Figures as people read them."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number of things: `"1 tile"`, `"2 tiles"`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def as_bytes(count: float) -> str:
    """A byte count with three figures and a decimal unit: `"1.94 MB"`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def as_percent(fraction: float) -> str:
    """A fraction as per cent with one decimal."""
    return f"{round(fraction * 100, 1) + 0.0:.1f} %"


def as_saving(fraction: float) -> str:
    """What was saved of a size, as "12.3 % saved", or "12.3 % larger" where it is negative."""
    text = as_percent(fraction)
    return f"{text[1:]} larger" if text.startswith("-") else f"{text} saved"


def as_duration(seconds: float) -> str:
    """A time in its two largest units: `"3 d 4 h"`, `"2 h 10 min"`, `"1 min 5 s"`, `"0.4 s"`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    whole = round(seconds)
    for (large, more), (small, unit) in (((86400, "d"), (3600, "h")), ((3600, "h"), (60, "min"))):
        if whole >= large:
            return f"{whole // large} {more} {whole % large // small} {unit}"
    return f"{whole // 60} min {whole % 60} s"
