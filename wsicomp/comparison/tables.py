"""The results as tables with the same numbers: CSV for programs, Markdown for people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from wsicomp.codecs.tile_quality import Quality
from wsicomp.comparison.archive_text import archive_notes, money_text, price_text, saving_text
from wsicomp.comparison.options import BLANK, EMPTY
from wsicomp.comparison.outcomes import RowOutcome
from wsicomp.comparison.recommendation import NEAR, recommend
from wsicomp.comparison.results import Archive, Comparison, Figure, Row, SlideComparison, SummaryRow
from wsicomp.files.tables import write_rows
from wsicomp.text.escaping import markdown_text, printable
from wsicomp.text.figures import as_bytes, as_percent
from wsicomp.verification.region_checks import FoundClass

TABLES = ("results", "summary", "classes", "curves", "magnified", "settings", "archive")
"""The names of the tables that `write_csvs` may write."""
_NESTED: Mapping[str, type] = {each.__name__: each for each in (Quality, Figure, RowOutcome)}


def write_csvs(found: Comparison, folder: Path, overwrite: bool = False) -> list[Path]:
    """Write a table for each kind of result: `results.csv` and others beside it; return their paths.

    Raises:
        TargetExistsError: a table exists and `overwrite` is False.
        SlideWriteError: a table cannot be written.
    """
    tables: dict[str, list[dict[str, Any]]] = {
        "results": [_flat(row) for row in found.rows],
        "summary": [_flat(row) for row in found.summary],
        "classes": [*_classes(found.slides)],
        "curves": _of_slides(found.slides, "curves"),
        "magnified": _of_slides(found.slides, "magnified"),
        "settings": _of_slides(found.slides, "landings"),
        "archive": [asdict(row) for row in found.archive.rows] if found.archive else [],
    }
    written = []
    for name, rows in tables.items():
        if not rows:
            continue
        path = folder / f"{name}.csv"
        names = list(rows[0])
        write_rows(path, [names, *([row[name] for name in names] for row in rows)], overwrite)
        written.append(path)
    return written


def _of_slides(slides: Sequence[SlideComparison], name: str) -> list[dict[str, Any]]:
    return [{"slide": slide.slide, **_flat(row)} for slide in slides for row in getattr(slide, name)]


def _classes(slides: Sequence[SlideComparison]) -> Iterator[dict[str, Any]]:
    for slide in slides:
        for row in slide.by_class:
            whole = {"target_bytes": row.target_bytes, "bytes_of_all": slide.bytes_of_all(row)}
            place = {"slide": slide.slide, "codec": row.codec, "glass": row.glass, **whole}
            for each in row.classes:
                yield {**place, **{f"class_{name}": value for name, value in asdict(each).items()}}


def _flat(row: Any) -> dict[str, Any]:
    """Return a row's fields, with the fields of what is nested in it beside them; classes have a table."""
    flat: dict[str, Any] = {}
    for field in fields(row):
        if field.name == "classes":
            continue
        value = getattr(row, field.name)
        nested = _NESTED.get(str(field.type).removesuffix(" | None"))
        if nested is not None:
            before = f"{field.name}_" if nested is Figure else ""
            flat |= {
                f"{before}{part.name}": _cell(getattr(value, part.name, None)) for part in fields(nested)
            }
        else:
            flat[field.name] = _cell(value)
    return flat


def _cell(value: Any) -> Any:
    if isinstance(value, tuple):
        between = "; " if any(isinstance(part, str) for part in value) else " "
        return between.join(map(str, value))
    if isinstance(value, Mapping):
        return " ".join(f"{key}={part}" for key, part in value.items())
    return value


def markdown(found: Comparison) -> str:
    """Return the recommendation and the tables for people, with the command that made them."""
    parts = [*_recommended(found), f"Measured by:\n\n    {printable(found.command)}\n", *_summary(found)]
    for slide in found.slides:
        parts += _slide(slide)
    parts += _landings(found)
    parts += _magnified(found)
    if found.archive is not None:
        parts += _archive(found.archive)
    return "\n".join(parts)


def _recommended(found: Comparison) -> Iterator[str]:
    told = recommend(found)
    yield f"**{markdown_text(told.sentence)}** {markdown_text(told.reason)}\n"
    if told.command:
        yield f"    {printable(told.command)}\n"
    for each in told.alternatives:
        yield f"{markdown_text(each.sentence)}\n"
    for text in told.excluded:
        yield f"- {markdown_text(text)}"
    if told.excluded:
        yield ""


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, the first column to the left and the others to the right."""
    rule = "|".join(["---", *["--:"] * (len(head) - 1)])
    lines = [f"| {' | '.join(head)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def _summary(found: Comparison) -> Iterator[str]:
    head = [
        "codec",
        "glass",
        "of your bytes",
        "tissue",
        "opens in",
        "restores",
        "slides",
        "bytes",
        "saved of JPEG q90",
        "slide by slide",
    ]
    head += ["bits/px", "SSIM", "worst tile", "PSNR", "colour shift", "encode", "read"]
    yield markdown_table(head, [_summary_row(row) for row in found.summary if row.slides])
    for what, reason in found.missing:
        yield f"Not compared: {markdown_text(what)}: {markdown_text(reason)}\n"


def _summary_row(row: SummaryRow) -> list[str]:
    return [
        markdown_text(row.codec),
        row.glass,
        as_percent(row.part),
        _tissue(row),
        *(
            ("-", "-")
            if row.outcome is None
            else (row.outcome.short, "yes" if row.outcome.reversible else "no")
        ),
        str(row.slides),
        as_bytes(row.target_bytes),
        as_percent(row.total_reduction),
        _spread(row.reduction),
        *(mean_text(figure, digits) for figure, digits in ((row.bits_per_pixel, 2), (row.ssim, 4))),
        "-" if row.least_ssim is None else f"{row.least_ssim.worst:.4f}",
        "exact" if row.ssim and row.psnr_db is None else mean_text(row.psnr_db, 1),
        "-" if row.most_color_shift_levels is None else f"{row.most_color_shift_levels.worst:.1f}",
        *("-" if figure is None else f"{figure.mean:.1f} s" for figure in (row.encode_s, row.read_s)),
    ]


def telling_rows(rows: Sequence[SummaryRow]) -> list[SummaryRow]:
    """Return the rows without those of empty glass that are no smaller than the same with blank glass."""
    blank = {row.codec: row for row in rows if row.glass == BLANK}
    return [row for row in rows if row.glass != EMPTY or _tells(row, blank.get(row.codec))]


def _tells(empty: SummaryRow, blank: SummaryRow | None) -> bool:
    if blank is None:
        return True
    return empty.slides == blank.slides and blank.part - empty.part > NEAR


def _tissue(row: SummaryRow) -> str:
    return "-" if row.outcome is None else row.outcome.tissue_text(row.worst_ssim)


def _spread(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    return f"{as_percent(figure.mean)}, sd {as_percent(figure.spread)}, worst {as_percent(figure.worst)}"


def mean_text(figure: Figure | None, digits: int) -> str:
    """Return a figure's mean as text, with `digits` decimals; a dash for None."""
    return "-" if figure is None else f"{figure.mean:.{digits}f}"


def _slide(slide: SlideComparison) -> Iterator[str]:
    yield f"**{markdown_text(slide.slide)}**: " + (
        markdown_text(slide.error)
        or f"{as_bytes(slide.source_bytes or 0)}; written anew as JPEG q90 with its glass "
        f"{as_bytes(slide.reference_bytes or 0)}; {slide.tissue_tiles} of {slide.tiles} tiles are tissue\n"
    )
    for note in slide.notes:
        yield f"Note: {markdown_text(note)}\n"
    if not slide.error:
        glass = list(dict.fromkeys(row.glass for row in slide.rows))
        rows: dict[str, dict[str, Row]] = {}
        for row in slide.rows:
            rows.setdefault(row.codec, {})[row.glass] = row
        rows = {
            codec: by_glass
            for codec, by_glass in rows.items()
            if any(row.target_bytes for row in by_glass.values())
        }
        head = ["codec", *(f"glass {treatment}" for treatment in glass), "SSIM", "worst tile"]
        yield markdown_table(head, [_slide_row(codec, by_glass, glass) for codec, by_glass in rows.items()])
        yield from _by_class(slide)
    else:
        yield ""


def _slide_row(codec: str, by_glass: dict[str, Row], glass: Sequence[str]) -> list[str]:
    quality = next((row.quality for row in by_glass.values() if row.quality), None)
    cells = [_size(by_glass[treatment]) if treatment in by_glass else "-" for treatment in glass]
    return [
        markdown_text(codec),
        *cells,
        *(["-", "-"] if quality is None else [f"{quality.ssim:.4f}", f"{quality.least_ssim:.4f}"]),
    ]


def _by_class(slide: SlideComparison) -> Iterator[str]:
    rows = [
        [
            markdown_text(row.codec),
            row.glass,
            markdown_text(class_name(each)),
            markdown_text(each.codec),
            str(each.tiles),
            as_percent(each.area),
            as_bytes(each.bytes),
            class_quality(each),
        ]
        for row in slide.by_class
        for each in row.classes
    ]
    if rows:
        head = ["codec", "glass", "place", "stored by", "tiles", "of level 0", "bytes", "pixels"]
        yield markdown_table(head, rows)
        yield "".join(f"- {markdown_text(saved_by_regions(slide, row))}\n" for row in slide.by_class)


def class_name(found: FoundClass) -> str:
    """Return a class of place in words.

    >>> class_name(FoundClass("tumour", "copy", 9, 0.1, 5000, True, None, None, 0))
    'region tumour'
    """
    return f"region {found.name}" if found.name else "outside of regions"


def class_quality(found: FoundClass) -> str:
    """Return what became of a class's pixels: exact, or the SSIM of its tiles.

    >>> class_quality(FoundClass("", "jpeg quality=40", 9, 0.1, 5000, False, 0.91239, 0.93217, 9))
    'SSIM 0.932, least 0.912'
    """
    if found.is_exact:
        return "exact"
    if found.least_ssim is None or found.mean_ssim is None:
        return "lossy, SSIM not measured"
    mean, least = (math.floor(value * 1000) / 1000 for value in (found.mean_ssim, found.least_ssim))
    return f"SSIM {mean:.3f}, least {least:.3f}"


def saved_by_regions(slide: SlideComparison, row: Row) -> str:
    """Return what a row with regions takes, and what it would take to keep all tissue as the regions."""
    what, bytes_of_all = f"{row.codec}, glass {row.glass}", slide.bytes_of_all(row)
    if bytes_of_all is None or row.target_bytes is None:
        return f"{what}: {as_bytes(row.target_bytes or 0)}; to keep all was not measured"
    times = bytes_of_all / row.target_bytes
    kept = f"{slide.kept_by} for all tissue takes {as_bytes(bytes_of_all)}, {times:.2f} times as much"
    return f"{what}: {as_bytes(row.target_bytes)}; {kept}"


def _size(row: Row) -> str:
    """Return bytes and the part of the source that they are, with its interval where it was sampled."""
    if row.target_bytes is None or not row.source_bytes:
        return "-"
    part = as_percent(row.target_bytes / row.source_bytes)
    if row.target_bytes_low is None or row.target_bytes_high is None:
        return f"{as_bytes(row.target_bytes)} ({part})"
    low, high = (end / row.source_bytes for end in (row.target_bytes_low, row.target_bytes_high))
    return f"{as_bytes(row.target_bytes)} ({part}; {as_percent(low)} to {as_percent(high)})"


def _landings(found: Comparison) -> Iterator[str]:
    rows = [
        [
            markdown_text(slide.slide),
            markdown_text(found_setting.label),
            f"{found_setting.target_ssim:.4g}",
            f"{found_setting.ssim:.4f}",
            f"{found_setting.held_out_ssim:.4f}",
            f"{found_setting.held_out_bits_per_pixel:.3f}",
        ]
        for slide in found.slides
        for found_setting in slide.landings
    ]
    if rows:
        yield markdown_table(
            ["slide", "setting", "target SSIM", "reached", "on tiles held out", "bits/px"], rows
        )


def _magnified(found: Comparison) -> Iterator[str]:
    rows = [
        [
            markdown_text(slide.slide),
            f"{row.magnification:g}x",
            markdown_text(row.codec),
            str(row.patches),
            f"{row.bits_per_pixel:.2f}",
            f"{as_percent(row.saved)} ({as_percent(row.least_saved)} to {as_percent(row.most_saved)})",
            f"{row.ssim:.3f}",
            "exact" if row.psnr_db is None else f"{row.psnr_db:.1f}",
        ]
        for slide in found.slides
        for row in slide.magnified
    ]
    if rows:
        yield markdown_table(
            ["slide", "at", "codec", "patches", "bits/px", "saved of JPEG q90", "SSIM", "PSNR"], rows
        )


def _archive(archive: Archive) -> Iterator[str]:
    price = price_text(archive)
    head = ["codec", "glass", "the archive, with 95 % intervals", "hours"]
    yield markdown_table(
        [*head, f"saved a year, {price}"] if price else head,
        [
            [
                markdown_text(row.codec),
                row.glass,
                saving_text(archive, row),
                f"{row.hours:.1f}",
                *([money_text(row)] if price else []),
            ]
            for row in archive.rows
        ],
    )
    for note in archive_notes(archive):
        yield f"{markdown_text(note)}\n"
