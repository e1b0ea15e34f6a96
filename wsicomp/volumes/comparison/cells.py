"""How a figure is written in a table: exact, a number, or a dash for none."""

from __future__ import annotations

from collections.abc import Sequence

from wsicomp.text.figures import as_percent
from wsicomp.volumes.comparison.results import PartFidelity


def part_text(part: PartFidelity | None) -> str:
    """Return how true a part is: exact, or its PSNR with the volume's peak; a dash where there is none."""
    return "-" if part is None else "exact" if not part.changed else db_text(part.psnr_db)


def least_text(parts: Sequence[PartFidelity | None]) -> str:
    """Return how true the worst of some parts is, by its PSNR."""
    known = [part for part in parts if part is not None]
    return part_text(min(known, key=lambda part: (not part.changed, part.psnr_db or 0), default=None))


def db_text(value: float | None) -> str:
    """Return a PSNR with one decimal; a dash where there is none."""
    return "-" if value is None else f"{value:.1f}"


def ssim_text(value: float | None) -> str:
    """Return an SSIM with four decimals, rounded down: only what is exact is 1."""
    return "-" if value is None else f"{int(value * 10_000) / 10_000:.4f}"


def share_text(share: float) -> str:
    """Return a share in percent; of one below a thousandth its first two digits.

    >>> share_text(0.533), share_text(0.00007)
    ('53.3 %', '0.007 %')
    """
    return as_percent(share) if share >= 0.001 else f"{100 * share:.2g} %"
