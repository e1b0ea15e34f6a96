"""The folder of a training run, from which a run that was stopped goes on.

    settings.json  the settings, and digests of the patch sets
    state.json     one row for each epoch or report so far
    last-0, last-1 checkpoints after the last even and the last odd row

A row is written after the files that it speaks of. A run that is killed at any moment can go on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from pickle import PickleError
from typing import Any, TypeVar
from zipfile import BadZipFile

from wsicomp.errors import TrainingError
from wsicomp.files.atomic import completed, make_folder
from wsicomp.files.inputs import check_file, reason
from wsicomp.files.json_values import parsed
from wsicomp.files.tables import write_rows, write_text

Row = TypeVar("Row")

_SETTINGS, _STATE = "settings.json", "state.json"
_UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    RuntimeError,
    EOFError,
    BadZipFile,
    PickleError,
)


def resumed(folder: Path, settings: Mapping[str, Any], patches: Sequence[Path], kind: type[Row]) -> list[Row]:
    """Return the rows of the run in `folder`, and write its settings.

    A folder without rows takes any settings, in place of those that it has.

    Raises:
        TrainingError: the folder holds a run with other settings or patch sets, or no run but other files.
    """
    path = make_folder(folder) / _SETTINGS
    if not path.exists() and any(folder.iterdir()):
        raise TrainingError("is not empty, and holds no run; name another folder", folder)
    wanted = {**settings, "patches_sha256": [_sha256(path) for path in patches]}
    rows = rows_of(folder, kind)
    if rows and _read_settings(path, folder) != wanted:
        raise TrainingError("holds a run with other settings or patches; name another folder", folder)
    write_text(path, json.dumps(wanted, indent=1), overwrite=True)
    return rows


def _read_settings(path: Path, folder: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        raise _cannot_go_on(exc, folder) from exc


def rows_of(folder: Path, kind: type[Row]) -> list[Row]:
    """Return the rows of the run in `folder`, none where there is no run.

    Raises:
        TrainingError: `state.json` cannot be read, or has other rows.
    """
    state = folder / _STATE
    try:
        rows = json.loads(state.read_text("utf-8")) if state.exists() else []
        return [parsed(row, kind, is_closed=True) for row in rows]
    except (OSError, ValueError, TypeError, RecursionError) as exc:
        raise _cannot_go_on(exc, folder) from exc


def _cannot_go_on(exc: Exception, folder: Path) -> TrainingError:
    return TrainingError(f"holds no run that can go on ({type(exc).__name__}); name another", folder)


def _sha256(path: Path) -> str:
    check_file(path, TrainingError)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise TrainingError(reason(exc), path) from exc


def checkpoint(folder: Path, rows: Sequence[Any], suffix: str) -> Path:
    """Return the path of the checkpoint after the last of `rows`; it replaces that of the row before last."""
    return folder / f"last-{len(rows) % 2}.{suffix}"


@contextmanager
def reading_checkpoint(path: Path) -> Iterator[None]:
    """Turn any error of a library that reads `path`, in a `with` block, into a `TrainingError`.

    Raises:
        TrainingError: the file is damaged.
    """
    try:
        yield
    except _UNREADABLE as exc:
        raise TrainingError(f"is damaged ({type(exc).__name__}); begin in another folder", path) from exc


def write_state(folder: Path, rows: Sequence[Any]) -> None:
    """Write the rows of the run, which are dataclasses."""
    write_text(folder / _STATE, json.dumps([asdict(row) for row in rows], indent=1), overwrite=True)


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with the same names as CSV, numbers in six digits."""
    names = list(rows[0])
    write_rows(path, [names, *([_cell(row[name]) for name in names] for row in rows)], overwrite=True)


def _cell(value: Any) -> Any:
    return value if isinstance(value, str) else float(f"{value:.6g}")


@contextmanager
def figure_panels(path: Path, size: tuple[float, float], rows: int, columns: int) -> Iterator[Any]:
    """Give axes to draw in, as an array (rows, columns), and write the figure as PNG.

    `size` is its width and height in inches. The first axes have a legend.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    yield panels
    panels[0, 0].legend(frameon=False)
    for axes in panels.flat:
        axes.spines[["top", "right"]].set_visible(False)
    with completed(path, overwrite=True) as partial:
        figure.savefig(partial, dpi=110, format="png")
