"""The table of labelled slides: pictures, masks, pixel sizes, splits and licences."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsicomp.errors import TrainingError
from wsicomp.files.inputs import check_file, is_file, reason

ALL_TISSUE, ALL_GLASS = "all-tissue", "all-glass"
"""Words that stand for a mask file where the whole picture is one or the other."""

_PICTURES = (".webp", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".svs")
_MASKS = (".png", ".tif", ".tiff", ".geojson")


@dataclass(frozen=True, slots=True)
class LabelledSlide:
    """A row of the table."""

    name: str
    """The slide's name."""
    image: Path
    """The slide's or picture's file."""
    mask: Path | None
    """The mask's file, None where `everywhere` stands for it."""
    everywhere: str | None
    """`ALL_TISSUE`, `ALL_GLASS`, or None."""
    mpp: float | None
    """um per px of a picture, None where the table does not say; slides state their own."""
    split: str
    """The split that it belongs to, such as "train" or "test"."""
    group: str
    """The patient or slide that it comes from, which a split keeps together."""
    licence: str
    """The licence of its data."""
    may_train: bool
    """Whether its licence allows to train weights on it."""
    remarks: str = ""
    """What is hard about it."""


def read_table(path: Path) -> tuple[LabelledSlide, ...]:
    """Read a table of labelled slides, tab or comma separated, with a row of column names.

    `name` is needed. `image` and `mask` are paths from the table's folder; without them `images/NAME.*` and
    `masks/NAME.*` are looked for. A mask may be the word `all-tissue` or `all-glass`. `um_per_px`, `split`,
    `source_group`, `licence`, `difficulty` and `weights_may_train_on` (yes or no) may be left out.

    Raises:
        TrainingError: the table cannot be read or has no rows, a name comes twice, or a file is not there.
    """
    check_file(path, TrainingError, "expected a table of labelled slides")
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        why = reason(exc) if isinstance(exc, OSError) else "not UTF-8 text"
        raise TrainingError(f"{why}; expected a table of labelled slides", path) from exc
    lines = text.splitlines()
    rows = csv.DictReader(lines, delimiter="\t" if lines and "\t" in lines[0] else ",")
    if "name" not in (rows.fieldnames or ()):
        raise TrainingError('no column "name" in the first line; expected a table of labelled slides', path)
    try:
        labelled = tuple(_row(row, path, rows.line_num) for row in rows)
    except csv.Error as exc:
        raise TrainingError(f"no table ({exc})", path, f"line {rows.line_num}") from exc
    if not labelled:
        raise TrainingError("no rows; name at least one labelled slide", path)
    names = [row.name for row in labelled]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TrainingError(f"named twice: {', '.join(twice)}", path)
    return labelled


def select(
    rows: Sequence[LabelledSlide], path: Path, split: str | None, groups: Collection[str] | None = None
) -> tuple[LabelledSlide, ...]:
    """Return the rows of a split and of some groups, where None stands for any.

    `path` is the table's, for the error.

    Raises:
        TrainingError: the table has no such row.
    """
    chosen = tuple(
        row for row in rows if split in (None, row.split) and (groups is None or row.group in groups)
    )
    if not chosen:
        splits = ", ".join(sorted({row.split for row in rows}))
        raise TrainingError(f"no row of that split or group; splits are {splits}", path)
    return chosen


def _row(row: Mapping[str, str | None], path: Path, number: int) -> LabelledSlide:
    def field(column: str, default: str = "") -> str:
        return (row.get(column) or default).strip()

    place = f"line {number}"
    name = field("name")
    if not name or Path(name).name != name:
        raise TrainingError(f"the name is {name!r}, expected one that can name a file", path, place)
    mask = field("mask")
    everywhere = mask if mask in (ALL_TISSUE, ALL_GLASS) else None
    may_train = field("weights_may_train_on", "yes").lower()
    if may_train not in ("yes", "no"):
        raise TrainingError(f"weights_may_train_on is {may_train!r}, expected yes or no", path, place)
    return LabelledSlide(
        name,
        _file(path, place, field("image"), "images", name, _PICTURES),
        None if everywhere else _file(path, place, mask, "masks", name, _MASKS),
        everywhere,
        _mpp(field("um_per_px"), path, place),
        field("split", "train"),
        field("source_group", name),
        field("licence", "not stated"),
        may_train == "yes",
        field("difficulty"),
    )


def _file(table: Path, place: str, given: str, folder: str, name: str, suffixes: tuple[str, ...]) -> Path:
    if given:
        path = table.parent / given
        if not is_file(path):
            raise TrainingError(f"{path}: no such file", table, place)
        return path
    for suffix in suffixes:
        path = table.parent / folder / f"{name}{suffix}"
        if is_file(path):
            return path
    wanted = f"{folder}/{name} with one of {', '.join(suffixes)}"
    raise TrainingError(f"no {wanted}; give its path in a column", table, place)


def _mpp(text: str, table: Path, place: str) -> float | None:
    if not text:
        return None
    try:
        mpp = float(text)
    except ValueError:
        mpp = math.nan
    if not 0 < mpp < math.inf:
        raise TrainingError(f"um_per_px is {text!r}, expected a number above 0 or nothing", table, place)
    return mpp
