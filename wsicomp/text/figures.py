"""Numbers as people read them."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "tile"), counted(2, "tile")
    ('1 tile', '2 tiles')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def as_bytes(count: float) -> str:
    """Return a byte count with three figures and a decimal unit.

    >>> as_bytes(1_940_000)
    '1.94 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def as_percent(fraction: float) -> str:
    """Return a fraction as per cent with one decimal.

    >>> as_percent(0.1234)
    '12.3 %'
    """
    return f"{round(fraction * 100, 1) + 0.0:.1f} %"


def as_saving(fraction: float) -> str:
    """Return the saved fraction of a size in words; a negative one means that the size grew.

    >>> as_saving(0.123), as_saving(-0.123)
    ('12.3 % saved', '12.3 % larger')
    """
    text = as_percent(fraction)
    return f"{text[1:]} larger" if text.startswith("-") else f"{text} saved"


def as_duration(seconds: float) -> str:
    """Return seconds in their two largest units.

    >>> as_duration(0.4), as_duration(65), as_duration(7800), as_duration(273_600)
    ('0.4 s', '1 min 5 s', '2 h 10 min', '3 d 4 h')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    whole = round(seconds)
    for (large, more), (small, unit) in (((86400, "d"), (3600, "h")), ((3600, "h"), (60, "min"))):
        if whole >= large:
            return f"{whole // large} {more} {whole % large // small} {unit}"
    return f"{whole // 60} min {whole % 60} s"


def as_money(amount: float) -> str:
    """Return a sum of money with three figures, in no currency.

    >>> as_money(0.0004), as_money(12.34), as_money(31_049), as_money(-1_234_567)
    ('under 1', '12.3', '31,000', '-1.23 million')
    """
    if abs(amount) < 1:
        return "0" if amount == 0 else "under 1"
    rounded = float(f"{amount:.3g}")
    if abs(rounded) >= 1e6:
        unit, name = (1e9, "billion") if abs(rounded) >= 1e9 else (1e6, "million")
        return f"{rounded / unit:,.3g} {name}"
    return f"{rounded:,g}"
