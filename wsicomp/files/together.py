"""Give the files of one run their names together: all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from wsicomp.errors import SlideWriteError, TargetExistsError
from wsicomp.files.atomic import make_folder, sync_name, write_errors
from wsicomp.files.folders import Folder, opened_folder
from wsicomp.files.unfinished import temporary_folder


def move_together(source: Path, into: Path, overwrite: bool = False) -> None:
    """Move all that is in the folder `source` into the folder `into`, which is made if there is none.

    Both are on one file system. If something cannot be moved, what moved before it goes back, and what was
    replaced is there again. A folder moves with all that is in it, and never replaces one.

    Raises:
        TargetExistsError: a name is taken, and `overwrite` is False.
        SlideWriteError: a name is a folder's, or the file system refuses.
    """
    names = sorted(path.name for path in source.iterdir())
    made = [each for each in (into, *into.parents) if not each.exists()]
    undo: list[Callable[[], object]] = [each.rmdir for each in reversed(made)]
    make_folder(into)
    with (
        write_errors(into),
        temporary_folder(parent=source.parent) as aside,
        opened_folder(source) as here,
        opened_folder(aside) as old,
        opened_folder(into) as there,
    ):
        _move_all(names, (here, there, old), overwrite, undo)
    sync_name(into, into)


def _move_all(
    names: Sequence[str],
    folders: tuple[Folder, Folder, Folder],
    overwrite: bool,
    undo: list[Callable[[], object]],
) -> None:
    """Move files from the first folder to the second, and what they replace to the third."""
    here, there, old = folders
    try:
        for name in names:
            _check_place(name, here, there)
            if overwrite and len(names) > 1 and there.status(name) is not None:
                _move(name, there, old, overwrite=False)
                undo.append(partial(old.move, name, there, name, overwrite=False))
            _move(name, here, there, overwrite)
            undo.append(partial(there.move, name, here, name, overwrite=False))
    except BaseException:
        for step in reversed(undo):
            with suppress(OSError):
                step()
        raise


def _check_place(name: str, here: Folder, there: Folder) -> None:
    path = there.path / name
    if there.is_folder(name):
        raise SlideWriteError("is a directory, where something is to be written; move it away", path)
    if here.is_folder(name) and there.status(name) is not None:
        raise SlideWriteError("is no directory, where one is to be written; move it away", path)


def _move(name: str, here: Folder, there: Folder, overwrite: bool) -> None:
    path = there.path / name
    try:
        here.move(name, there, name, overwrite)
    except FileExistsError as exc:
        raise TargetExistsError("exists already; choose another name or `overwrite=True`", path) from exc
    except OSError as exc:
        raise SlideWriteError(f"cannot be written ({exc.strerror or exc})", path) from exc
