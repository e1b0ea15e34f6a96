"""Copies of whole files, proved by their SHA-256; the file system shares the bytes where it can."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from wsicomp.errors import SourceChangedError
from wsicomp.files.atomic import completed_file
from wsicomp.files.attributes import Attributes
from wsicomp.files.inputs import check_file, reading
from wsicomp.progress import StageProgress, no_progress

_AT_ONCE_BYTES = 1 << 24


def copy_file(
    source: Path,
    target: Path,
    sha256: str | None = None,
    overwrite: bool = False,
    root: Path | None = None,
    with_time: bool = False,
    progress: StageProgress = no_progress,
) -> str:
    """Copy a file with its mode and, where possible, its owner; return the SHA-256 of what the copy reads.

    Nothing is shared that an edit of one file could change in the other: a file system that can (Btrfs, XFS)
    shares blocks until one of them is written. Below `root` no folder may be a link; None allows links.

    Raises:
        SlideReadError: the source cannot be read.
        SourceChangedError: the copy has not this `sha256`, so the source changed; nothing was written.
        TargetExistsError: the target exists, and `overwrite` is False.
        SlideWriteError: the target cannot be written.
    """
    check_file(source, may_be_empty=True)
    with reading(source), source.open("rb") as original:
        alike = Attributes.of(source, with_time)
        return copy_open_file(original, target, alike, sha256, overwrite, root, progress)


def copy_open_file(
    original: BinaryIO,
    target: Path,
    alike: Attributes,
    sha256: str | None = None,
    overwrite: bool = False,
    root: Path | None = None,
    progress: StageProgress = no_progress,
) -> str:
    """Copy an open file from its start, as `copy_file` does; the copy is `alike`.

    Raises:
        SourceChangedError: the copy has not this `sha256`, so the file changed; nothing was written.
        TargetExistsError: the target exists, and `overwrite` is False.
        SlideWriteError: the target cannot be written.
    """
    with completed_file(target, overwrite, root, alike=alike) as copy:
        _copy_bytes(original, copy, progress)
        found = _sha256(copy)
        if sha256 is not None and found != sha256:
            path = original.name if isinstance(original.name, str) else None
            raise SourceChangedError("it changed while it was copied; nothing was written", path)
    return found


def _copy_bytes(original: BinaryIO, copy: BinaryIO, progress: StageProgress) -> None:
    total = os.fstat(original.fileno()).st_size
    done = 0
    original.seek(0)
    try:
        while count := os.copy_file_range(original.fileno(), copy.fileno(), _AT_ONCE_BYTES):
            done += count
            progress(done, total)
        is_whole = done == total
    except (OSError, AttributeError):  # another file system, or another system
        is_whole = False
    if not is_whole:  # some network file systems copy nothing, and call it the end
        original.seek(0)
        copy.seek(0)
        copy.truncate()
        while block := original.read(_AT_ONCE_BYTES):
            copy.write(block)
            progress(copy.tell(), total)
        copy.flush()


def _sha256(copy: BinaryIO) -> str:
    copy.seek(0)
    digest = hashlib.sha256()
    while block := copy.read(_AT_ONCE_BYTES):
        digest.update(block)
    return digest.hexdigest()
