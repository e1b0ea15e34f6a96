"""Upgrades a restorable conversion of wsicomp 0.7 or before, so that its source is read at random."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from wsicomp.concurrency.threads import available_cores
from wsicomp.errors import SlideReadError, SlideWriteError, SourceChangedError, VerificationError
from wsicomp.files.atomic import completed_file
from wsicomp.files.attributes import Attributes
from wsicomp.files.inputs import given_path
from wsicomp.files.limits import check_free_space
from wsicomp.formats.converted.restoration import check_stated, restored_blocks
from wsicomp.formats.converted.upgrading import write_with_index
from wsicomp.formats.opening import open_converted
from wsicomp.formats.slide_files import stamp_of
from wsicomp.progress import Progress, Stages, progress_raises_through


@dataclass(frozen=True)
class UpgradeReport:
    """An upgraded conversion."""

    file: str
    """Its path."""
    upgraded: bool
    """Whether it was written anew; False where it had its index already."""
    bytes_before: int
    """Its size before."""
    bytes: int
    """Its size now."""
    source_sha256: str
    """The SHA-256 of its source, which was rebuilt from it."""


@progress_raises_through
def upgrade_conversion(
    file: str | os.PathLike[str],
    workers: int | None = None,
    on_progress: Progress | None = None,
    root: Path | None = None,
    source_sha256: str = "",
) -> UpgradeReport:
    """Give a restorable conversion its index, in place and all at once; one that has it stays as it is.

    The new file takes the old one's name only when it has rebuilt the source's SHA-256. Tiles, images, mode,
    owner and time stay. Below `root` no folder may be a link; None allows links. A conversion of another
    source than that of `source_sha256` is refused; "" is any.

    Examples:
        >>> upgrade_conversion("kept.tiff").upgraded  # doctest: +SKIP
        True

    Raises:
        SlideReadError: the file cannot be read, is damaged, or does not hold its source.
        SlideWriteError: it cannot be written, or its disk has no room for a second one.
        VerificationError: what was written does not rebuild the source; the file is as it was.
    """
    path, stages = given_path(file), Stages(on_progress)
    threads = workers or available_cores()
    if path.is_symlink():
        raise SlideWriteError("is a link; name the file that it leads to", path)
    stamp = stamp_of(path)
    with closing(open_converted(path)) as slide:
        source, before = slide.provenance.plan.source, slide.file.bytes
        if source_sha256 not in ("", source.sha256):
            raise SlideReadError("it was made from another source than the one that is expected", path)
        if slide.required_restoration().index_bytes:
            return UpgradeReport(str(path), False, before, before, source.sha256)
        check_stated(slide)
        check_free_space(path, before)
        with completed_file(path, True, root, alike=Attributes.of(path, with_time=True)) as partial:
            with stages.stage("upgrade") as progress:
                write_with_index(slide, partial, threads, progress)
            partial.flush()
            with stages.stage("verify") as progress, closing(open_converted(Path(partial.name))) as made:
                for _ in restored_blocks(made, threads, progress):
                    pass
                if made.provenance.plan.digest != slide.provenance.plan.digest:
                    raise VerificationError("what was written is not this conversion; it is as it was", path)
            if stamp_of(path) != stamp:
                raise SourceChangedError("it changed while it was upgraded; nothing was written", path)
            size = partial.tell()
    return UpgradeReport(str(path), True, before, size, source.sha256)
