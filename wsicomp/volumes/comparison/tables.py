"""The results as tables: CSV for programs, Markdown and cells of a page for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wsicomp.files.tables import write_rows
from wsicomp.text.escaping import markdown_text
from wsicomp.text.figures import as_bytes
from wsicomp.volumes.comparison.cells import db_text, part_text, ssim_text
from wsicomp.volumes.comparison.paper_tables import paper_tables
from wsicomp.volumes.comparison.results import MedianRow, PartFidelity, VolumeComparison, VolumeRow


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


def paper_markdown(found: VolumeComparison) -> list[str]:
    """Return the tables in the forms of the studies in Markdown, a text each."""
    return [
        f"**{table.title}**\n\n{_pipes(table.head, table.rows, table.texts)}\n{markdown_text(table.note)}\n"
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
    "memory",
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
        ssim_text(row.ssim),
        ssim_text(row.least_ssim),
        f"{row.most_error:g}",
        f"{row.compress_cpu_s:.1f}",
        f"{row.read_cpu_s:.1f}",
        _memory_text(row.peak_bytes),
    )


def _memory_text(peak_bytes: int) -> str:
    return as_bytes(peak_bytes) if peak_bytes else "-"


def _row_cells(row: VolumeRow) -> tuple[str, ...]:
    assert row.whole is not None, "a file was written"
    return (
        row.candidate,
        as_bytes(row.bytes),
        f"{row.ratio:.2f}",
        f"{row.ratio_of_file:.2f}",
        "-" if row.ratio_of_used_bits is None else f"{row.ratio_of_used_bits:.2f}",
        part_text(row.whole),
        ssim_text(row.ssim),
        ssim_text(row.least_ssim),
        f"{row.whole.most_error:g}",
        part_text(row.inside),
        f"{row.compress_cpu_s:.1f}",
        f"{row.read_cpu_s:.1f}",
        _memory_text(row.peak_bytes),
    )


def _pipes(head: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> str:
    """Return a table in Markdown, the first columns, of words, to the left and the others to the right."""
    return "\n".join(_lines(head, rows, texts)) + "\n"


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join(['---'] * texts + ['--:'] * (len(head) - texts))}|"
    yield from (f"| {' | '.join(map(markdown_text, row))} |" for row in rows)
