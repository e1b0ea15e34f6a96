"""Make folders that are open to no more people than those whose content they take."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from wsicomp.files.attributes import Attributes
from wsicomp.files.folders import Folder, move_own, opened_folder

_PRIVATE = 0o700
"""The mode of a folder until it has that of another, whatever the umask."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def folders_to(path: Path, name: Path) -> list[Path]:
    """Return the folders from a tree's root to the one of a file, whose path in the tree is `name`.

    >>> [str(folder) for folder in folders_to(Path("/tree/a/b/x.svs"), Path("a/b/x.svs"))]
    ['/tree', '/tree/a', '/tree/a/b']
    """
    return list(reversed(path.parents[: len(name.parts)]))


def make_alike(folder: Path, root: Path, models: Sequence[Path]) -> None:
    """Make the missing folders from `root` down to `folder`, each alike the folder of its depth in `models`.

    The first model is that of `root`, which is not made; the last one holds for all that lie deeper. A new
    folder has mode, owner and group of its model as `Attributes.give` gives them, and can always be written
    by its user. Below `root` no folder may be a link. A folder that is there stays as it is.

    Raises:
        SlideWriteError: a folder between `root` and `folder` is a link or no folder, or `folder` does not lie
            below `root`.
        OSError: the file system refuses.
    """
    place = root
    for depth, name in enumerate(Path(os.path.relpath(folder, root)).parts, 1):
        with opened_folder(place, root) as above:
            _make(above, name, models[min(depth, len(models) - 1)])
        place /= name
    with opened_folder(folder, root):
        pass  # it is a folder, and lies below the root


def move_aside(path: Path, place: Path, root: Path, models: Sequence[Path]) -> Path:
    """Move a file as `move_own` does, to the path `place` or, if that is taken, to one with a number.

    `place` ends in folders for those of the file, which lie deeper. `models` are those of the file's folders;
    the first one holds for what lies between.

    Returns the path that the file has now.
    """
    deeper = len(place.relative_to(root).parts) - len(path.relative_to(root).parts)
    make_alike(place.parent, root, [*[models[0]] * deeper, *models])
    free, number = place, 1
    while True:
        try:
            move_own(path, free, root)
        except FileExistsError:
            free, number = place.with_name(f"{place.name}.{number}"), number + 1
        else:
            return free


def _make(above: Folder, name: str, model: Path) -> None:
    if above.status(name) is not None:
        return
    with suppress(FileExistsError):  # another process makes it, alike
        os.mkdir(name, _PRIVATE, dir_fd=above.descriptor)
        descriptor = os.open(name, _FOLDER, dir_fd=above.descriptor)
        try:
            with suppress(OSError):  # without its model it stays private
                Attributes.of_folder(model).give(descriptor)
        finally:
            os.close(descriptor)
