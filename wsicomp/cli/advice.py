"""What to type instead: the end of an error's line, where the folders at hand tell what was meant.

Only a person at a command line gets advice. Ledgers, reports and Python's callers get the library's message
alone: a hint names files that nobody gave.
"""

from __future__ import annotations

import itertools
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from wsicomp.errors import LedgerError, SlideWriteError, WsicompError
from wsicomp.files.inputs import is_file, is_folder
from wsicomp.text.paths import as_text

_MOST_NAMES = 10_000
"""In a folder of more names none is looked for: that takes seconds."""
_SLIDES = (".svs", ".tiff", ".tif", ".ndpi", ".btf", ".scn", ".mrxs", ".bif", ".dcm")
_FOR_MANY = {"convert": "batch", "restore": "batch restore"}
"""The command that does for many files what one of these does for one."""
_TARGET_NAMES = {"convert": "small.svs", "restore": "again.svs", "segment": "mask.png"}
"""A name for what each command writes, as the examples of its help have it."""
_MOST_INCLUDED = 3
"""More sources than that are named by a pattern."""


@contextmanager
def advising(command: str, first: str) -> Iterator[None]:
    """Add advice as a note to an error of the block: a run of this command, with this `first` argument."""
    try:
        yield
    except WsicompError as exc:
        if advice := _advice(exc, command, first):
            exc.add_note(advice)
        raise


def with_advice(error: WsicompError) -> str:
    """Return an error's line, with the advice that was added to it."""
    return "; ".join([str(error), *getattr(error, "__notes__", ())])


def advice_on_several(command: str, words: Sequence[str]) -> str:
    """Return what to type where more files were named than the command takes; "" where nothing is known."""
    if command not in _FOR_MANY:
        return ""
    *sources, target = words
    batch = shlex.join(["wsicomp", *_FOR_MANY[command].split(), *_folders(sources, target)])
    return f"{command} takes one file; for several: {batch}"


def _folders(sources: Sequence[str], target: str) -> list[str]:
    """Return the arguments of a batch of these sources; its target lies beside their folder, never in it."""
    folders = {os.path.normpath(os.path.dirname(source)) for source in sources}  # noqa: PTH120 - "" is here
    if len(folders) > 1:
        return ["SOURCE_DIR", "TARGET_DIR"]
    folder = folders.pop()
    here, there = Path(folder).resolve(), Path(target).resolve()
    if there == here or here in there.parents:
        target = os.path.normpath(os.path.join(folder, os.pardir, f"{here.name}-small"))  # noqa: PTH118
    elif is_file(there):
        target = f"{target}-small"
    names = [Path(source).name for source in sources]
    if len(names) > _MOST_INCLUDED:
        names = sorted({f"*{Path(name).suffix}" for name in names})
    return [folder, target, *(word for name in names for word in ("--include", name))]


def _advice(error: WsicompError, command: str, first: str) -> str:
    if error.path is None or error.place:
        return ""
    path = Path(error.path)
    try:
        if isinstance(error, SlideWriteError):
            return _on_target(path, error, command)
        return _on_source(path, error, command, first)
    except (OSError, ValueError):  # the error itself is said all the same
        return ""


def _on_source(path: Path, error: WsicompError, command: str, first: str) -> str:
    if not os.path.lexists(path):
        return _on_missing(path, error)
    if _is_refused(error):
        return missing_permission(path, for_writing=False)
    if is_folder(path) and path == Path(first) and "is a directory" in error.message:
        return _on_folder(path, command)
    if is_file(path) and command == "batch" and "is no folder" in error.message:
        small = f"small{'.svs' if path.suffix.lower() == '.svs' else '.tiff'}"
        return f"for one slide: {shlex.join(['wsicomp', 'convert', str(path), small])}"
    return ""


def _on_missing(path: Path, error: WsicompError) -> str:
    if "no such file" not in error.message and not isinstance(error, LedgerError):
        return ""
    near = near_path(path)
    return f"did you mean {shlex.quote(as_text(near))}?" if near is not None else ""


def _on_folder(folder: Path, command: str) -> str:
    """Return what to do with a folder where the command takes one slide."""
    if command == "convert":
        return f"a folder needs: {shlex.join(['wsicomp', 'batch', str(folder), 'TARGET_DIR'])}"
    slides = [path for path in _names(folder) if path.suffix.lower() in _SLIDES and is_file(path)]
    return f"name a file in it, such as {shlex.quote(as_text(min(slides)))}" if slides else "name a file"


def _on_target(path: Path, error: SlideWriteError, command: str) -> str:
    if _is_refused(error):
        return missing_permission(path, for_writing=True)
    if is_folder(path) and command in _TARGET_NAMES and "exists already" not in error.message:
        return f"for example {shlex.quote(as_text(path / _TARGET_NAMES[command]))}"
    if not path.parent.exists() and "does not exist" in error.message:
        near = near_path(path.parent)
        if near is not None and is_folder(near):
            return f"did you mean {shlex.quote(as_text(near / path.name))}?"
        return f"with: mkdir -p {shlex.quote(as_text(path.parent))}"
    return ""


def _is_refused(error: BaseException) -> bool:
    """Return whether the file system refused for want of a permission, or as it only reads."""
    cause = error.__cause__
    return isinstance(cause, PermissionError) or getattr(cause, "errno", None) == 30  # EROFS


def missing_permission(path: Path, for_writing: bool) -> str:
    """Return which permission is missing on what, of the file or of the nearest folder above it."""
    for folder in reversed(path.absolute().parents):
        if folder.exists() and not _may(folder, os.X_OK):
            return f"you lack the permission to enter (x) the folder {as_text(folder)}"
    if not for_writing:
        kind, need = ("folder", "list (r)") if is_folder(path) else ("file", "read (r)")
        return "" if _may(path, os.R_OK) else f"you lack the permission to {need} this {kind}"
    folder = path if is_folder(path) else path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not _may(folder, os.W_OK):
        is_fixed = os.statvfs(folder).f_flag & os.ST_RDONLY
        why = "lies on a disk that is mounted read-only" if is_fixed else "lacks your permission to write (w)"
        return f"the folder {as_text(folder)} {why}; choose another folder"
    return ""


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def near_path(path: Path) -> Path | None:
    """Return the file or folder that is there, and has nearly this path; None where none has."""
    folder = path.parent
    if not is_folder(folder):
        near = None if folder == path else near_path(folder)
        return None if near is None else _near_in(near, path.name)
    return _near_in(folder, path.name)


def _near_in(folder: Path, name: str) -> Path | None:
    if os.path.lexists(folder / name):
        return folder / name
    names = {path.name.lower(): path for path in _names(folder) if not path.name.startswith(".")}
    near = get_close_matches(name.lower(), names, 1)
    return names[near[0]] if near else None


def _names(folder: Path) -> list[Path]:
    """Return what lies in a folder; nothing where that is too much to look through."""
    found = list(itertools.islice(folder.iterdir(), _MOST_NAMES + 1))
    return found if len(found) <= _MOST_NAMES else []
