"""Slides of several names (hard links): one is converted, and the others get copies of its conversion.

A copy, not a reference: every name of the source tree has a whole conversion, which any program opens. It is
never a hard link: a batch writes no file that has a second name. File systems that can share blocks do.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsicomp.batch.entry import Entry, State
from wsicomp.batch.jobs import ConversionJob
from wsicomp.batch.outcomes import JobOutcome
from wsicomp.batch.target_names import safe_name_note
from wsicomp.conversion.settings import Settings
from wsicomp.files.copying import copy_file
from wsicomp.files.folders import is_own, opened_folder
from wsicomp.formats.discovery import FoundSlide
from wsicomp.progress import Progress, Stages
from wsicomp.text.paths import as_text


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
        if not is_own(self.first_target, self.root):
            return None
        is_there, with_time = os.path.lexists(self.target), self.config.run.keep_times
        self._make_folders()
        with stages.stage("copy") as progress:
            sha256, place = self.first.target_sha256, (is_there, self.root, with_time)
            copy_file(self.first_target, self.target, sha256, *place, progress)
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
        with suppress(OSError), opened_folder(self.audit.parent, self.root, make=True):
            copy_file(self.first_audit, self.audit, root=self.root)
