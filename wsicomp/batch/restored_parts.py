"""Find which files of a packed slide are restored already, and give the others their names.

A slide's files get their names one right after the other; a run that is killed just then leaves some.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from wsicomp.files.folders import is_own, is_own_folder
from wsicomp.files.together import move_together
from wsicomp.formats.identity import file_sha256
from wsicomp.formats.packed.manifest import PackedFile, PackManifest, path_of_name
from wsicomp.progress import StageProgress


def slide_folder(manifest: PackManifest, target: Path) -> Path:
    """Return the folder for the files of a slide that is to be restored as `target`.

    It is that of `target`. Where that is not the name of the file that opens the slide, on which its other
    files may depend, it is a folder by the name of `target`.
    """
    return target.parent if path_of_name(manifest.opens).name == target.name else target


def parts_there(
    manifest: PackManifest, folder: Path, root: Path, progress: StageProgress
) -> tuple[set[str], set[str]]:
    """Return the names right in a slide's folder whose very files are there, and the others.

    A folder is there with all that the slide has in it. Below `root` no link counts.
    """
    missing, names = set[str](), set[str]()
    for file in manifest.files:
        top = path_of_name(file.name).parts[0]
        names.add(top)
        if top not in missing and not _is_file_there(file, folder, root, progress):
            missing.add(top)
    for each in manifest.folders:
        path = path_of_name(each.name)
        names.add(path.parts[0])
        if not is_own_folder(folder / path, root):
            missing.add(path.parts[0])
    return names - missing, missing


def _is_file_there(file: PackedFile, folder: Path, root: Path, progress: StageProgress) -> bool:
    path = folder / path_of_name(file.name)
    is_likely = is_own(path, root) and path.stat().st_size == file.bytes
    return is_likely and file_sha256(path, progress) == file.sha256


def move_missing(restored: Path, folder: Path, there: Collection[str], overwrite: bool) -> None:
    """Move the restored files into a slide's folder, without those that are `there`.

    Raises:
        TargetExistsError: another file has the name of one, and `overwrite` is False.
        SlideWriteError: a folder has the name of one, or the file system refuses.
    """
    for name in there:
        path = restored / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    move_together(restored, folder, overwrite)
