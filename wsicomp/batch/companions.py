"""Move and delete the files of a slide of several files: all of them, whenever a run is killed.

The file that opens the slide goes into quarantine first, so that the slide never stands half in its place,
and is deleted last, so that it is in quarantine until all is done. A record in the source tree tells the next
run of a step that was not finished.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from logging import Logger
from pathlib import Path

from wsicomp.batch.outcomes import Companions
from wsicomp.batch.source_records import RemovalStep, read_steps, remove_step
from wsicomp.errors import KeptError
from wsicomp.files.alike import folders_to, make_alike
from wsicomp.files.atomic import sync_directory
from wsicomp.files.folders import Folder, displayed_path, opened_folder
from wsicomp.formats.discovery import QUARANTINE
from wsicomp.formats.slide_files import OF_SEVERAL_FILES, slide_folders, slide_parts
from wsicomp.text.paths import as_path, as_text


def file_fingerprint(path: Path) -> str:
    """Return a text that identifies a file in its present state, the same on every machine.

    Whoever writes into a file can put back the time of its last writing (mtime), but not the time of its last
    change of any kind (ctime).

    Raises:
        KeptError: the path is a link or no regular file, or cannot be read.
    """
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            raise KeptError("it is a link, and only files of this tree are taken away")
        if not stat.S_ISREG(status.st_mode):
            raise KeptError("it is not a regular file")
        # Opened, so that a network's file system asks its server and does not answer by what it remembers.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as exc:
        raise KeptError(f"it cannot be read ({exc.strerror or exc})", displayed_path(path)) from exc
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def without_change_time(fingerprint: str) -> str:
    """Return the part of a fingerprint that stays when the file is renamed."""
    return fingerprint.rpartition(" ")[0]


def find_companions(source: Path) -> Companions:
    """Return the other files of the slide that `source` opens, and its folders; none of a slide of one file.

    Raises:
        KeptError: a file is a link, no regular file, or another slide's, too.
        SlideReadError: the files cannot be listed.
    """
    others = [part for part in slide_parts(source) if part != source]
    folders, here = slide_folders(source), source.parent
    for folder in folders[:1]:
        odd = [path for path in (folder, *folder.rglob("*")) if path.is_symlink() or not _is_plain(path)]
        if odd:
            raise KeptError(f"{odd[0].relative_to(here)} is a link or no file, and is not taken away")
    if others:
        _check_unshared(source, {source, *others})
    files = tuple((as_text(path.relative_to(here)), _companion_fingerprint(path)) for path in others)
    return Companions(files, tuple(as_text(folder.relative_to(here)) for folder in folders))


def _is_plain(path: Path) -> bool:
    return path.is_file() or path.is_dir()


def _companion_fingerprint(path: Path) -> str:
    try:
        return file_fingerprint(path)
    except KeptError as exc:
        raise KeptError(f"{path.name}: {exc.message}") from exc


def _check_unshared(source: Path, parts: set[Path]) -> None:
    """Refuse to take files away that another slide beside this one has, too.

    Raises:
        KeptError: there is such a slide.
    """
    for other in sorted(source.parent.iterdir()):
        if (
            other.suffix.lower() in OF_SEVERAL_FILES
            and other != source
            and parts.intersection(slide_parts(other))
        ):
            raise KeptError(f"it shares files with the slide {other.name}")


def check_companions(folder: Path, companions: Companions) -> None:
    """Check that the files beside the one that opens a slide are still those that were proved.

    `folder` is the slide's.

    Raises:
        KeptError: one is not.
    """
    for name, fingerprint in companions.files:
        if _companion_fingerprint(folder / as_path(name)) != fingerprint:
            raise KeptError(f"its file {name} changed after it was compared")


def move_companions(root: Path, source: str, companions: Companions) -> None:
    """Move a slide's other files into quarantine, and remove its folders, which are empty then.

    `source` is the file that opens it, as a path in the tree at `root`. A file that is there already stays.

    Raises:
        KeptError: a file is another one, or could not be moved; it is where it was.
        OSError: the file system refuses.
    """
    _move_all(root, companions, *_places(root, source))


def put_companions_back(root: Path, source: str, companions: Companions) -> None:
    """Move those of a slide's other files that went into quarantine back to where they were.

    Raises:
        KeptError, OSError: a file could not be moved; the others after it stay in quarantine.
    """
    here, there = _places(root, source)
    gone = tuple(each for each in companions.files if not os.path.lexists(here / as_path(each[0])))
    _move_all(root, Companions(gone, companions.folders), there, here)


def _places(root: Path, source: str) -> tuple[Path, Path]:
    """Return the slide's folder in its tree and in quarantine."""
    return (root / as_path(source)).parent, (root / QUARANTINE / as_path(source)).parent


def _move_all(root: Path, companions: Companions, here: Path, there: Path) -> None:
    for name in companions.folders:
        _make_folder(root, here, there, as_path(name))
    for name, fingerprint in companions.files:
        path = as_path(name)
        if not os.path.lexists(here / path) and os.path.lexists(there / path):
            continue
        _make_folder(root, here, there, path.parent)
        with (
            opened_folder((here / path).parent, root) as before,
            opened_folder((there / path).parent, root) as behind,
        ):
            move_proved(path.name, before, behind, fingerprint)
    remove_folders(root, here, companions)


def _make_folder(root: Path, here: Path, there: Path, name: Path) -> None:
    """Make a slide's folder in another place, alike its own."""
    models = folders_to(here / name / "file", (here / name / "file").relative_to(root))
    deeper = len((there / name).relative_to(root).parts) - len((here / name).relative_to(root).parts)
    make_alike(there / name, root, [*models[:1] * max(0, deeper), *models[max(0, -deeper) :]])


def move_proved(name: str, here: Folder, there: Folder, fingerprint: str) -> None:
    """Move a file between two open folders if it has this fingerprint, and sync both folders.

    Raises:
        KeptError: the file is another one, or could not be moved; it was put back.
    """
    if without_change_time(file_fingerprint(here.held / name)) != without_change_time(fingerprint):
        raise KeptError(f"its file {name} changed after it was compared")
    try:
        here.move(name, there, name, overwrite=False)
    except FileExistsError as exc:
        raise KeptError("a file of its name is in quarantine already; move that away first") from exc
    try:
        if without_change_time(file_fingerprint(there.held / name)) != without_change_time(fingerprint):
            raise KeptError("another file took its place while it was moved")
        sync_directory(there.held)
        sync_directory(here.held)
    except OSError as exc:
        there.move(name, here, name, overwrite=False)
        message = f"its move into quarantine might not last ({exc.strerror or exc}); it was put back"
        raise KeptError(message) from exc
    except KeptError:
        with suppress(FileExistsError):
            there.move(name, here, name, overwrite=False)
        raise


def delete_companions(root: Path, source: str, companions: Companions) -> None:
    """Delete a slide's other files from quarantine.

    Raises:
        KeptError: a file is another one; it stays, and so do those after it.
        OSError: the file system refuses.
    """
    _, folder = _places(root, source)
    for name, fingerprint in companions.files:
        path = folder / as_path(name)
        with opened_folder(path.parent, root) as opened:
            if file_fingerprint(opened.held / path.name) != fingerprint:
                raise KeptError(f"its file {name} changed after it was compared")
            os.unlink(path.name, dir_fd=opened.descriptor)


def remove_folders(root: Path, folder: Path, companions: Companions) -> None:
    """Remove a slide's own folders where they are empty; `folder` is the one that they are in."""
    for name in reversed(companions.folders):
        path = folder / as_path(name)
        with suppress(OSError), opened_folder(path.parent, root) as opened:
            os.rmdir(path.name, dir_fd=opened.descriptor)


def finish_steps(root: Path, log: Logger) -> None:
    """Finish the moves into quarantine, and what is left of deletions, of runs that were killed.

    A slide whose opening file is in its place again was moved back; nothing is done with it. `root` is the
    source tree. Files that cannot be moved are logged, and the next run tries again.
    """
    for step in _known_steps(root, log):
        companions, (here, there) = Companions(step.files, step.folders), _places(root, step.source)
        name = as_path(step.source).name
        is_here, is_there = (os.path.lexists(place / name) for place in (here, there))
        if step.is_deletion and is_there:
            continue  # it is proved once more first
        try:
            if not step.is_deletion and is_there and not is_here:
                move_companions(root, step.source, companions)
                log.info("%s: its other files followed it into quarantine", step.source)
        except (KeptError, OSError) as exc:
            log.warning("%s: not all of its files are in quarantine yet: %s", step.source, exc)
            continue
        if step.is_deletion:
            remove_folders(root, there, companions)
        remove_step(root, step.source)


def unfinished_files(root: Path) -> frozenset[str]:
    """Return the paths in the tree of files whose slides were begun to be moved into quarantine."""
    found = set[str]()
    for step in _known_steps(root, None):
        here, there = _places(root, step.source)
        name = as_path(step.source).name
        if not step.is_deletion and os.path.lexists(there / name) and not os.path.lexists(here / name):
            found.update(as_text((here / as_path(each)).relative_to(root)) for each, _ in step.files)
    return frozenset(found)


def _known_steps(root: Path, log: Logger | None) -> Iterator[RemovalStep]:
    try:
        yield from read_steps(root)
    except KeptError as exc:
        if log is not None:
            log.error("what an earlier run began to take away is not finished: %s", exc)
