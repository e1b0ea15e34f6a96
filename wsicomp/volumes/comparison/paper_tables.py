"""The results in the forms of two published studies, their own figures beside."""

from __future__ import annotations

from dataclasses import dataclass

from wsicomp.text.figures import as_bytes
from wsicomp.volumes.comparison.cells import db_text, least_text, part_text, share_text, ssim_text
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
    texts: int = 1
    """How many columns from the left are words; the others are figures, and stand to the right."""


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
        ssim_text(row.ssim),
        least_text([each.inside for each in rows]),
        least_text([each.outside for each in rows]),
        f"{max((each.outside.most_error for each in rows if each.outside), default=0):g}",
    )


def region_volume_table(found: VolumeComparison) -> PaperTable | None:
    """Return the same volume by volume, since regions are of any size; None for fewer than two volumes."""
    rows = [
        _region_volume_row(row, row.whole, row.inside, row.outside)
        for row in found.rows
        if row.whole and row.inside and row.outside and "diffuse" not in row.candidate
    ]
    if not rows or len(found.done) < 2:
        return None
    return PaperTable(
        "Regions, volume by volume",
        (
            "volume",
            "candidate",
            "in the region",
            "CR",
            "SSIM",
            "region, PSNR",
            "rest, PSNR",
            "rest, most error",
            "write, CPU s",
        ),
        tuple(rows),
        "How much of a volume its region is decides on its ratio. PSNR's peak is 4096 for CT, and the range "
        "of the values for all else.",
        texts=2,
    )


def _region_volume_row(
    row: VolumeRow, whole: PartFidelity, inside: PartFidelity, outside: PartFidelity
) -> tuple[str, ...]:
    return (
        row.source,
        row.candidate,
        share_text(inside.voxels / whole.voxels),
        f"{row.ratio:.2f}",
        ssim_text(row.ssim),
        part_text(inside),
        part_text(outside),
        f"{outside.most_error:g}",
        f"{row.compress_cpu_s:.1f}",
    )


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
        ssim_text(after.ssim),
        "-" if theirs is None else f"{theirs.original:g} \u2192 {theirs.diffused:g}",
    )


def paper_tables(found: VolumeComparison) -> list[PaperTable]:
    """Return the tables in the forms of the studies, those for which something was tried."""
    tables = (region_table(found), region_volume_table(found), diffusion_table(found))
    return [table for table in tables if table is not None]
