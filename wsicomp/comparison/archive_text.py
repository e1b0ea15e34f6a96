"""The projection on an archive in words, the same in the terminal, in Markdown and on the page."""

from __future__ import annotations

from collections.abc import Iterator

from wsicomp.comparison.archive_sample import GIANTS, LEAST_FOR_AN_INTERVAL
from wsicomp.comparison.results import Archive, ArchiveRow
from wsicomp.text.figures import as_bytes, as_money, as_percent, counted


def saving_text(archive: Archive, row: ArchiveRow) -> str:
    """Return what is saved of the measured groups, such as `saves 1.2 TB of 3.4 TB (34 to 37 %)`."""
    whole = as_bytes(archive.measured_bytes)
    between = _between(row.saved_bytes_low, row.saved_bytes_high, archive.measured_bytes or 1)
    if row.saved_bytes is None:
        return f"saves roughly {between} of {whole}"
    if row.saved_bytes < 0:
        return f"adds {as_bytes(-row.saved_bytes)} to {whole} ({between} saved)"
    return f"saves {as_bytes(row.saved_bytes)} of {whole} ({between})"


def _between(low: float, high: float, whole: float) -> str:
    first, last = as_percent(low / whole), as_percent(high / whole)
    return first if first == last else f"{first.removesuffix(' %')} to {last}"


def money_text(row: ArchiveRow) -> str:
    """Return the money saved a year with its interval, such as `310 (295 to 330)`; "" where none is told."""
    amounts = row.saved_a_year, row.saved_a_year_low, row.saved_a_year_high
    value, low, high = (None if amount is None else as_money(amount) for amount in amounts)
    if value is None:
        return ""
    return str(value) if low == high else f"{value} ({low} to {high})"


def price_text(archive: Archive) -> str:
    """Return the price, such as `at 250 a TB and year`; "" where no money is told."""
    return "" if archive.price is None or archive.is_rough else f"at {archive.price:,g} a TB and year"


def missed_note(standing: int) -> str:
    """Return what the intervals of a draw cannot know, if so many slides of it stand for others.

    Drawn slides that agree make an interval without width. By the rule of three, a kind of slide that no draw
    was made for and that has 3 / n of the bytes is missed by 5 % of the draws of n slides.
    """
    return (
        f"The interval knows only what was drawn: 1 draw in 20 misses a kind of slide that holds "
        f"{as_percent(3 / standing)} of the bytes. If there is one that saves nothing, less is saved."
    )


def archive_notes(archive: Archive) -> Iterator[str]:
    """Yield what one has to know beside the figures, each in a sentence."""
    if archive.is_rough:
        yield (
            "Rough: the ranges go from the least to the most that a drawn slide saves. Draw 20 slides or "
            f"more for estimates and for money; {LEAST_FOR_AN_INTERVAL} at least have to stand for others."
        )
    elif archive.standing:
        yield missed_note(archive.standing)
    if archive.failed:
        yield f"{counted(archive.failed, 'drawn slide')} failed; such slides count as saving nothing."
    for group in archive.unmeasured:
        kind = "giant " if group.kind == GIANTS else f"{group.kind} " if group.kind else ""
        slides = f"{kind}slide{'' if group.slides == 1 else 's'}"
        yield (
            f"Not measured, and in no figure: {group.slides} {slides} of {as_bytes(group.bytes)}, "
            f"{as_percent(group.bytes / (archive.bytes or 1))} of the archive. Draw more slides."
        )
