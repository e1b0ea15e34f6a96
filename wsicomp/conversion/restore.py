"""Restores a conversion's source, byte for byte."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from wsicomp.concurrency.threads import available_cores
from wsicomp.errors import SlideReadError, SlideWriteError
from wsicomp.files.atomic import check_output, completed_file, lock_note
from wsicomp.files.attributes import Attributes
from wsicomp.files.inputs import given_output, given_path
from wsicomp.files.limits import check_free_space
from wsicomp.formats.converted.reader import ConvertedSlide
from wsicomp.formats.converted.restoration import check_stated, restored_blocks
from wsicomp.formats.opening import open_reader
from wsicomp.formats.packed.container import PackedSlide, is_pack
from wsicomp.formats.packed.unpack import unpack_file, unpack_slide
from wsicomp.progress import Progress, Stages, progress_raises_through
from wsicomp.text.figures import counted


@dataclass(frozen=True)
class RestoreReport:
    """The restored file."""

    target: str
    """Its path."""
    bytes: int
    """Its size."""
    sha256: str
    """Its SHA-256, which is that of the source when it was converted."""
    notes: tuple[str, ...] = ()
    """Lines for the user."""


@progress_raises_through
def restore_slide(
    converted: str | os.PathLike[str],
    target: str | os.PathLike[str],
    overwrite: bool = False,
    workers: int | None = None,
    on_progress: Progress | None = None,
    trust: bool = False,
    root: Path | None = None,
) -> RestoreReport:
    """Rebuild the source of a file that was converted with `restorable`.

    Of a packed slide of several files the target is the folder that gets them, all or none. Of one file it is
    that file, or a folder if it is there or ends in a slash.

    Else the target appears under its name only when its SHA-256 is the source's. It has mode and owner of the
    converted file, where this user may give them, and the time of the source's last change. A file that
    states a far larger source than its bytes could make is refused, unless you `trust` it. Below `root` no
    folder of the target may be a link; None allows links.

    Examples:
        >>> restore_slide("kept.tiff", "again.svs").bytes  # doctest: +SKIP
        1938955

    Raises:
        SlideReadError: the file cannot be read, is damaged, or does not hold its source.
        SlideWriteError: the target cannot be written, exists, or has no room on its disk.
    """
    converted = given_path(converted)
    if is_pack(converted):
        place = given_path(target, SlideWriteError)
        is_folder = os.fspath(target).endswith("/") or place.is_dir()
        return _unpacked(converted, place, is_folder, overwrite, workers, on_progress, trust, root)
    target = given_output(target)
    check_output(target, (converted,), overwrite)
    with closing(open_reader(converted)) as slide, Stages(on_progress).stage("restore") as progress:
        if not isinstance(slide, ConvertedSlide) or slide.provenance.restoration is None:
            raise SlideReadError(
                "holds no source to restore: only a file converted with `restorable=True` and "
                '`glass="keep"` does',
                converted,
            )
        if not trust:
            check_stated(slide)
        check_free_space(target, slide.provenance.plan.source.bytes)
        source = slide.provenance.plan.source
        alike = replace(Attributes.of(converted), mtime_ns=source.mtime_ns)
        with completed_file(target, overwrite, root, alike=alike) as file:
            note = lock_note(file)
            for block in restored_blocks(slide, workers or available_cores(), progress):
                file.write(block)
    return RestoreReport(str(target), source.bytes, source.sha256, () if note is None else (note,))


def _unpacked(
    packed: Path,
    target: Path,
    is_folder: bool,
    overwrite: bool,
    workers: int | None,
    on_progress: Progress | None,
    trust: bool,
    root: Path | None,
) -> RestoreReport:
    with PackedSlide(packed) as slide:
        files = slide.manifest.files
        if not trust and slide.doubt:
            raise SlideReadError(f"{slide.doubt}; if you trust it, restore it with `trust=True`", packed)
    if len(files) == 1 and not is_folder:
        report = unpack_file(packed, target, overwrite, workers, on_progress, root)
    else:
        report = unpack_slide(packed, target, overwrite, workers, on_progress, root)
    notes = (f"{counted(len(files), 'file')}, all of the slide's",) if len(files) > 1 else ()
    return RestoreReport(report.target, report.bytes, report.sha256, notes)
