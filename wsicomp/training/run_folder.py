"""The folder of a training run: what was asked for, and every step of the way, so that it can go on.

`settings.json` has the settings and digests of the patch sets, `state.json` a row for each epoch or report so
far. A row is written after the files that it speaks of, so that a run killed at any moment can go on.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from wsicomp.atomic import completed, made_folder
from wsicomp.errors import TrainingError
from wsicomp.escaping import spreadsheet_cell
from wsicomp.inputs import check_file, reason

Row = TypeVar("Row")

_SETTINGS, _STATE = "settings.json", "state.json"


def resumed(folder: Path, settings: Mapping[str, Any], patches: Sequence[Path], kind: type[Row]) -> list[Row]:
    """The rows that a run folder has behind it; writes the settings into a new one.

    Where there is no row yet, other settings may take the place of those that were told first.

    Raises:
        TrainingError: the folder holds another run, or something else.
    """
    told = made_folder(folder) / _SETTINGS
    if not told.exists() and any(folder.iterdir()):
        raise TrainingError("is not empty, and holds no run; name another folder", folder)
    asked = {**settings, "patches_sha256": [_sha256(path) for path in patches]}
    rows = rows_of(folder, kind)
    try:
        if rows and json.loads(told.read_text("utf-8")) != asked:
            raise TrainingError("holds a run with other settings or patches; name another folder", folder)
    except TrainingError:
        raise
    except (OSError, ValueError, RecursionError) as exc:
        raise _cannot_go_on(exc, folder) from exc
    with completed(told, overwrite=True) as partial:
        partial.write_text(json.dumps(asked, indent=1), "utf-8")
    return rows


def rows_of(folder: Path, kind: type[Row]) -> list[Row]:
    """The rows that a run folder has behind it, none where there is no run.

    Raises:
        TrainingError: it holds something else.
    """
    state = folder / _STATE
    try:
        return [kind(**row) for row in json.loads(state.read_text("utf-8"))] if state.exists() else []
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


def write_state(folder: Path, rows: Sequence[Any]) -> None:
    """Say how far the run is."""
    with completed(folder / _STATE, overwrite=True) as partial:
        partial.write_text(json.dumps([asdict(row) for row in rows], indent=1), "utf-8")


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with the same names as CSV, numbers in six digits."""
    names = list(rows[0])
    lines = [[_cell(row[name]) for name in names] for row in rows]
    with completed(path, overwrite=True) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([names, *lines])


def _cell(value: object) -> str:
    return str(spreadsheet_cell(value)) if isinstance(value, str) else f"{value:.6g}"
