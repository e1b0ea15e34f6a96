"""The results as tables: CSV for programs, Markdown and cells of a page for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wsicomp.files.tables import write_rows
from wsicomp.text.escaping import markdown_text
from wsicomp.text.figures import as_bytes
from wsicomp.volumes.comparison.papers import (
    PUBLISHED_DIFFUSION,
    PUBLISHED_DIFFUSION_QUALITY,
    PUBLISHED_REGIONS,
    published_ratio,
)
from wsicomp.volumes.comparison.results import MedianRow, PartFidelity, VolumeComparison, VolumeRow


@dataclass(frozen=True)
class PaperTable:
    """A table in the form of a published study."""

    title: str
    """What it shows."""
    head: tuple[str, ...]
    """Names of the columns."""
    rows: tuple[tuple[str, ...], ...]
    """Cells, in words."""
    note: str
    """What to know when it is read."""


def write_volume_csvs(found: VolumeComparison, folder: Path) -> None:
    """Write `results.csv` with a row for each volume and candidate, `volumes.csv` and `medians.csv`.

    Raises:
        SlideWriteError: a table cannot be written.
    """
    tables: dict[str, list[dict[str, Any]]] = {
        "results": [_flat(row) for row in found.rows],
        "volumes": [_flat(each) for each in found.volumes],
        "medians": [{**asdict(row), "total_ratio": row.total_ratio} for row in found.medians],
    }
    for name, rows in tables.items():
        if rows:
            names = list(rows[0])
            write_rows(folder / f"{name}.csv", [names, *([row[each] for each in names] for row in rows)])


def _flat(row: Any) -> dict[str, Any]:
    """Return a row's fields, those of its parts behind their names: `inside_psnr_db`."""
    flat: dict[str, Any] = {}
    for name, value in asdict(row).items():
        if name in ("whole", "inside", "outside"):
            fields = value or dict.fromkeys(PartFidelity.__dataclass_fields__)
            flat |= {f"{name}_{part}": each for part, each in fields.items()}
        elif isinstance(value, dict):
            flat |= value
        else:
            flat[name] = " ".join(map(str, value)) if isinstance(value, tuple) else value
    return flat


def region_table(found: VolumeComparison) -> PaperTable | None:
    """Return sizes, ratio, PSNR and SSIM with regions, as the study of them has it; None for none."""
    labels = {
        row.candidate for row in found.rows if row.inside is not None and "diffuse" not in row.candidate
    }
    rows = [_region_row(row, found) for row in found.medians if row.candidate in labels]
    if not rows:
        return None
    rows.append(
        ("published: HEVC, box at CRF 20, rest at 40", "348.17 MB", "60.57 MB", "6.89 (5.75)", *["-"] * 5)
    )
    head = (
        "candidate",
        "before",
        "after",
        "CR",
        "PSNR, dB",
        "SSIM",
        "region, PSNR",
        "rest, PSNR",
        "rest, most error",
    )
    return PaperTable(
        "Regions, and the rest coarse",
        head,
        tuple(rows),
        "All volumes together; before is the voxels' bytes at their dtype. PSNR and SSIM are medians; of "
        "the region and of the rest the least PSNR of a volume. Published, of MR (BraTS 2020): "
        f"{PUBLISHED_REGIONS}.",
    )


def _region_row(row: MedianRow, found: VolumeComparison) -> tuple[str, ...]:
    rows = [each for each in found.rows if each.candidate == row.candidate and each.is_done]
    return (
        row.candidate,
        as_bytes(row.bytes_before),
        as_bytes(row.bytes),
        f"{row.total_ratio:.2f}",
        db_text(row.psnr_db),
        _ssim_text(row.ssim),
        _parts_text([each.inside for each in rows]),
        _parts_text([each.outside for each in rows]),
        f"{max((each.outside.most_error for each in rows if each.outside), default=0):g}",
    )


def _parts_text(parts: Sequence[PartFidelity | None]) -> str:
    """Return the least PSNR of some parts."""
    known = [each.psnr_db for each in parts if each is not None and each.psnr_db is not None]
    return db_text(min(known, default=None))


def diffusion_table(found: VolumeComparison) -> PaperTable | None:
    """Return each codec on volumes as they are and diffused, as that study has it; None for none."""
    medians = {row.candidate: row for row in found.medians}
    pairs = [
        (medians[plain], row)
        for label, row in medians.items()
        if "+diffuse" in label and (plain := label.replace("+diffuse", "")) in medians
    ]
    if not pairs:
        return None
    rows = [_diffusion_row(before, after) for before, after in pairs]
    rows += [
        (f"published: {each.codec}", *["-"] * 5, f"{each.original:g} \u2192 {each.diffused:g}")
        for each in PUBLISHED_DIFFUSION
        if each.ours not in {before.candidate for before, _ in pairs}
    ]
    return PaperTable(
        "Diffusion outside the organ",
        ("codec", "original", "diffused", "gain", "PSNR, dB (peak 65535)", "SSIM", "published"),
        tuple(rows),
        "Median ratios over the volumes, of the voxels' bytes at their dtype. PSNR and SSIM are of what came "
        "back after diffusion and codec. Published, medians over 141 CT of the liver: "
        f"{PUBLISHED_DIFFUSION_QUALITY}.",
    )


def _diffusion_row(before: MedianRow, after: MedianRow) -> tuple[str, ...]:
    theirs = published_ratio(before.candidate)
    return (
        before.candidate,
        f"{before.ratio:.2f}",
        f"{after.ratio:.2f}",
        f"{after.ratio / before.ratio - 1:+.0%}".replace("%", " %"),
        db_text(after.psnr_16_bit_db),
        _ssim_text(after.ssim),
        "-" if theirs is None else f"{theirs.original:g} \u2192 {theirs.diffused:g}",
    )


def paper_tables(found: VolumeComparison) -> list[PaperTable]:
    """Return the tables in the forms of the studies, those for which something was tried."""
    return [table for table in (region_table(found), diffusion_table(found)) if table is not None]


def paper_markdown(found: VolumeComparison) -> list[str]:
    """Return the tables in the forms of the studies in Markdown, a text each."""
    return [
        f"**{table.title}**\n\n{_pipes(table.head, table.rows)}\n{markdown_text(table.note)}\n"
        for table in paper_tables(found)
    ]


def volume_markdown(found: VolumeComparison) -> str:
    """Return all tables for people, with the command that made them."""
    parts = [f"Measured by:\n\n    {found.command}\n"] if found.command else []
    parts.append(median_markdown(found))
    parts += paper_markdown(found)
    for volume in found.volumes:
        parts += [f"**{markdown_text(volume.name)}** {markdown_text(volume.error)}\n"]
        rows = found.rows_of(volume.name)
        if rows:
            parts.append(_pipes(_ROW_HEAD, [_row_cells(row) for row in rows if row.is_done]))
        parts += [f"- {markdown_text(f'{row.candidate}: {row.reason}')}" for row in rows if not row.is_done]
    return "\n".join(parts) + "\n"


_ROW_HEAD = (
    "candidate",
    "bytes",
    "ratio",
    "of the file",
    "of used bits",
    "PSNR, dB",
    "SSIM",
    "worst slice",
    "most error",
    "in the region",
    "write, CPU s",
    "read, CPU s",
    "memory",
)
_MEDIAN_HEAD = (
    "candidate",
    "volumes",
    "ratio",
    "of the files",
    "PSNR, dB",
    "SSIM",
    "worst slice",
    "most error",
    "write, CPU s",
    "read, CPU s",
)


def median_markdown(found: VolumeComparison) -> str:
    """Return the table over all volumes in Markdown."""
    return _pipes(_MEDIAN_HEAD, [_median_cells(row) for row in found.medians])


def _median_cells(row: MedianRow) -> tuple[str, ...]:
    return (
        row.candidate,
        str(row.volumes),
        f"{row.ratio:.2f}",
        f"{row.ratio_of_file:.2f}",
        "exact" if row.is_exact else db_text(row.psnr_db),
        _ssim_text(row.ssim),
        _ssim_text(row.least_ssim),
        f"{row.most_error:g}",
        f"{row.compress_cpu_s:.1f}",
        f"{row.read_cpu_s:.1f}",
    )


def _row_cells(row: VolumeRow) -> tuple[str, ...]:
    assert row.whole is not None, "a file was written"
    return (
        row.candidate,
        as_bytes(row.bytes),
        f"{row.ratio:.2f}",
        f"{row.ratio_of_file:.2f}",
        "-" if row.ratio_of_used_bits is None else f"{row.ratio_of_used_bits:.2f}",
        part_text(row.whole),
        _ssim_text(row.ssim),
        _ssim_text(row.least_ssim),
        f"{row.whole.most_error:g}",
        "-" if row.inside is None else part_text(row.inside),
        f"{row.compress_cpu_s:.1f}",
        f"{row.read_cpu_s:.1f}",
        as_bytes(row.peak_bytes) if row.peak_bytes else "-",
    )


def part_text(part: PartFidelity) -> str:
    """Return how true a part is: exact, or its PSNR with the volume's peak."""
    return "exact" if not part.changed else db_text(part.psnr_db)


def db_text(value: float | None) -> str:
    """Return a PSNR with one decimal; "exact" for None, where nothing differs."""
    return "exact" if value is None else f"{value:.1f}"


def _ssim_text(value: float | None) -> str:
    """Return an SSIM with four decimals, rounded down: only what is exact is 1."""
    return "-" if value is None else f"{int(value * 10_000) / 10_000:.4f}"


def _pipes(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, the first column to the left and the others to the right."""
    return "\n".join(_lines(head, rows)) + "\n"


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join(['---', *['--:'] * (len(head) - 1)])}|"
    yield from (f"| {' | '.join(map(markdown_text, row))} |" for row in rows)
