"""Write texts and CSV tables, each whole or not at all."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path

from wsicomp.files.atomic import completed
from wsicomp.text.escaping import spreadsheet_cell


def write_text(path: Path, text: str, overwrite: bool = False, root: Path | None = None) -> None:
    """Write a text as UTF-8. With `root` no folder below it may be a link.

    Raises:
        TargetExistsError: the file exists, and `overwrite` is False.
        SlideWriteError: the file cannot be written.
    """
    with completed(path, overwrite, root) as partial:
        partial.write_text(text, "utf-8")


def write_rows(path: Path, rows: Iterable[Iterable[object]], overwrite: bool = False) -> None:
    """Write rows as CSV, the first of them the head; no spreadsheet computes what stands in a cell.

    Raises:
        TargetExistsError: the file exists, and `overwrite` is False.
        SlideWriteError: the file cannot be written.
    """
    with completed(path, overwrite) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        file.writelines(csv_lines(rows))


def csv_lines(rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Yield rows as lines of CSV, each with its end.

    >>> [line.strip() for line in csv_lines([["name", "count"], ["=1+1", 2]])]
    ['name,count', "'=1+1,2"]
    """
    line = StringIO(newline="")
    writer = csv.writer(line)
    for row in rows:
        writer.writerow(map(spreadsheet_cell, row))
        yield line.getvalue()
        line.seek(0)
        line.truncate()
