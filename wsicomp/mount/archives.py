"""What can be mounted or served: a folder that may be listed, or a slide."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from wsicomp.errors import SlideReadError
from wsicomp.files.inputs import reading

_NO_SLIDE = "is no slide, and holds none; name the folder of an archive, or a slide in it"


def check_archive(path: Path) -> None:
    """Check that a path is that of a folder that can be listed, or of a slide that can be read.

    Raises:
        SlideReadError: it is not.
    """
    with reading(path):
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise SlideReadError("no such folder or file", path) from exc
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(path) as entries:
                next(entries, None)
            (path / "any").exists()  # which the file system says only to those who may enter
        elif stat.S_ISREG(status.st_mode):
            _check_slide(path)
        else:
            raise SlideReadError("is neither a folder nor a file", path)


def _check_slide(path: Path) -> None:
    """Check a file: its content if it could be a conversion, else whether a batch takes it for a slide.

    Raises:
        OSError: it cannot be read, or a `SlideReadError`: it is no slide, or a damaged conversion.
    """
    from wsicomp.batch.conversions import WRITTEN_SUFFIXES  # noqa: PLC0415 - all that reads slides
    from wsicomp.batch.target_jobs import is_tiff  # noqa: PLC0415
    from wsicomp.formats.discovery import is_taken_for_slide  # noqa: PLC0415
    from wsicomp.mount.held_originals import look_for_originals  # noqa: PLC0415

    with path.open("rb"):
        pass
    if path.suffix.lower() not in WRITTEN_SUFFIXES and not is_taken_for_slide(path, packs=True):
        raise SlideReadError(_NO_SLIDE, path)
    held, damage = look_for_originals(path)
    if damage is not None and not held.is_older:
        raise damage
    if path.suffix.lower() in WRITTEN_SUFFIXES and not held.originals and not is_tiff(path):
        raise SlideReadError(_NO_SLIDE, path)
