"""Slides of several names (hard links): one is converted, and the others get copies of its conversion.

A copy, not a reference: every name of the source tree has a whole conversion, which any program opens. It is
never a hard link: a batch writes no file that has a second name. File systems that can share blocks do.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from wsicomp.batch.entry import Entry, State
from wsicomp.batch.jobs import ConversionJob
from wsicomp.batch.outcomes import JobOutcome
from wsicomp.batch.target_names import safe_name_note
from wsicomp.conversion.settings import Settings
from wsicomp.errors import SlideWriteError
from wsicomp.files.atomic import completed_file
from wsicomp.files.folders import open_own, opened_folder
from wsicomp.formats.discovery import FoundSlide
from wsicomp.progress import Progress, StageProgress, Stages
from wsicomp.text.paths import as_text

_BLOCK_BYTES = 1 << 26


def other_names(
    slides: Iterable[FoundSlide], due: Collection[str], known: Mapping[str, Entry]
) -> dict[str, str]:
    """Return the due slides that are another name of a slide, each with the name that is converted.

    That is one which is converted already, else the first of those that are due.
    """
    names: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
    for slide in slides:
        if slide.hard_link is not None:
            names[slide.hard_link].append(slide.source)
    others: dict[str, str] = {}
    for alike in names.values():
        done = [name for name in alike if name not in due and name in known and known[name].is_converted]
        late = [name for name in alike if name in due]
        first = [*done, *late][:1]
        others |= {name: first[0] for name in late if name != first[0]}
    return others


@dataclass(frozen=True, kw_only=True)
class LinkedJob(ConversionJob):
    """Copy the conversion of another name of the same file; convert the slide where that cannot be."""

    first: Entry
    """The slide that was converted, by the ledger."""
    first_source: Path
    """Its file."""
    first_target: Path
    """Its conversion."""
    first_audit: Path
    """The small picture of what was removed from it, if there is one."""
    first_report: Mapping[str, Any]
    """The report of its conversion as JSON values."""
    first_settings: Settings
    """The settings by which it was made."""

    def _run(self, on_progress: Progress) -> JobOutcome:
        copied = None
        with suppress(OSError):  # what is wrong there, the conversion says
            copied = self._copied(Stages(on_progress))
        return copied or super()._run(on_progress)

    def _copied(self, stages: Stages) -> JobOutcome | None:
        """Return the outcome of copying; None where the names are not of one file, or a file is in the way.

        Raises:
            OSError: the copy cannot be written, or the conversion is not the file that was written.
        """
        if not os.path.samestat(self.source.stat(), self.first_source.stat()) or not self._has_place():
            return None
        is_there = os.path.lexists(self.target)
        with (
            stages.stage("copy") as progress,
            opened_folder(self.target.parent, self.root, make=True),
            open(open_own(self.first_target, os.O_RDONLY, self.root), "rb") as original,
            completed_file(self.target, is_there, self.root) as copy,
        ):
            copy_content(original, copy, progress)
            if hashlib.file_digest(cast(Any, copy), "sha256").hexdigest() != self.first.target_sha256:
                raise SlideWriteError("is not the file that was written", self.first_target)
        with opened_folder(self.target.parent, self.root) as folder:
            status = (folder.held / self.target.name).lstat()
        self._copy_picture()
        return JobOutcome(
            State.DONE,
            target_sha256=self.first.target_sha256,
            target_bytes=status.st_size,
            target_mtime_ns=status.st_mtime_ns,
            report={
                **self.first_report,
                "source": str(self.source),
                "target": str(self.target),
                "notes": list(self._notes()),
            },
            settings=self.first_settings,
        )

    def _notes(self) -> Iterator[str]:
        """Yield the first one's notes but for those on its name, and those on this one's."""
        named = safe_name_note(self.first.source, self.first.target)
        yield from (note for note in self.first_report["notes"] if note != named)
        yield f"the same file as {self.first.source} (a hard link): its target is a copy of that one's"
        if note := safe_name_note(self.name, as_text(self.target.relative_to(self.root))):
            yield note

    def _has_place(self) -> bool:
        """Return whether nothing has the target's name but what an earlier run wrote there of this file."""
        if self.stale:
            return False
        if not os.path.lexists(self.target):
            return True
        status = self.target.lstat()
        is_ours = self.ours == (status.st_size, status.st_mtime_ns)
        return is_ours and self.earlier_sha256 == self.first.source_sha256

    def _copy_picture(self) -> None:
        """Copy the small picture of what was removed; the large one is drawn where it is needed."""
        self._forget_pictures()
        with (
            suppress(OSError),
            open(open_own(self.first_audit, os.O_RDONLY, self.root), "rb") as original,
            opened_folder(self.audit.parent, self.root, make=True),
            completed_file(self.audit, root=self.root, is_lasting=False) as copy,
        ):
            shutil.copyfileobj(original, copy)


def copy_content(original: BinaryIO, copy: BinaryIO, progress: StageProgress) -> None:
    """Copy a file's bytes into another, which is new; the file system shares the blocks where it can.

    Raises:
        OSError: a file cannot be read or written.
    """
    total = os.fstat(original.fileno()).st_size
    done = _copied_by_system(original, copy, total, progress)
    original.seek(done)
    copy.seek(done)
    while block := original.read(_BLOCK_BYTES):
        copy.write(block)
        done += len(block)
        progress(done, total)
    copy.seek(0)


def _copied_by_system(original: BinaryIO, copy: BinaryIO, total: int, progress: StageProgress) -> int:
    """Return how many bytes the system copied itself; 0 where it has no such call, or not for these files."""
    call = getattr(os, "copy_file_range", None)
    done = 0
    with suppress(OSError):
        while call is not None and done < total:
            moved = call(original.fileno(), copy.fileno(), min(_BLOCK_BYTES, total - done))
            if not moved:
                break
            done += moved
            progress(done, total)
    return done
