"""Jobs on the conversions of a folder, one file each: restore its source, or verify it."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from wsicomp.batch.conversions import is_tiff
from wsicomp.batch.entry import State
from wsicomp.batch.outcomes import OTHER_SLIDE, JobOutcome, outcome_of_error
from wsicomp.batch.target_jobs import check_regular_file
from wsicomp.conversion.restore import restore_slide
from wsicomp.errors import SlideReadError, TargetExistsError, UnsupportedSlideError
from wsicomp.files.folders import opened_folder
from wsicomp.formats.identity import file_sha256
from wsicomp.formats.opening import open_tiff
from wsicomp.plan.provenance import Provenance
from wsicomp.progress import Progress, Stages
from wsicomp.verification.files import verify_file

NOT_RESTORABLE, FOREIGN, PROBLEMS = "not restorable", "not written by wsicomp", "problems"


@dataclass(frozen=True)
class RestoreJob:
    """Restore the source of one conversion, unless the very file is there already."""

    name: str
    """The source's path in its tree, as text."""
    converted: Path
    """The conversion."""
    target: Path
    """The file to write."""
    root: Path
    """The tree to write into."""
    workers: int
    """How many threads work on it."""
    source_sha256: str = ""
    """SHA-256 of the source by a ledger; "" where none says."""
    overwrite: bool = False
    """Whether another file in its place is replaced."""
    trust: bool = False
    """Whether it is restored even if it states a far larger source than its bytes could make."""

    def run(self, on_progress: Progress) -> JobOutcome:
        """Restore it; the outcome is done, `adopted` where the file was there, or says what is wrong."""
        try:
            return self._run(on_progress)
        except Exception as exc:  # the boundary between a slide and its night
            return outcome_of_error(exc, self.converted)

    def _run(self, on_progress: Progress) -> JobOutcome:
        with closing(open_tiff(self.converted)) as slide:
            provenance = slide.provenance
        if provenance is None:
            raise SlideReadError("does not say what it was made from", self.converted)
        source = provenance.plan.source
        if self.source_sha256 not in ("", source.sha256):
            error = "its conversion was made from another file than the ledger says; run the batch again"
            return JobOutcome(State.FAILED, OTHER_SLIDE, error)
        with opened_folder(self.target.parent, self.root, make=True):
            check_regular_file(self.target)
        if self._is_there(source.bytes, source.sha256, on_progress):
            return JobOutcome(State.DONE, adopted=True)
        if provenance.restoration is None:
            return JobOutcome(State.SKIPPED, NOT_RESTORABLE, _why_not(provenance))
        if os.path.lexists(self.target) and not self.overwrite:
            message = "exists already and is another file; move it away or give `overwrite=True`"
            raise TargetExistsError(message, self.target)
        restore_slide(
            self.converted, self.target, self.overwrite, self.workers, on_progress, trust=self.trust
        )
        return JobOutcome(State.DONE)

    def _is_there(self, size: int, sha256: str, on_progress: Progress) -> bool:
        """Return whether the very file is there, byte for byte."""
        if not os.path.lexists(self.target) or self.target.lstat().st_size != size:
            return False
        with Stages(on_progress).stage("checksum") as progress:
            return file_sha256(self.target, progress) == sha256


def _why_not(provenance: Provenance) -> str:
    plan = provenance.plan
    how = f"codec {plan.codec}, glass {plan.glass_fill}"
    return f"its source cannot be rebuilt: it was made by {how}, without `restorable=True`"


@dataclass(frozen=True)
class VerifyJob:
    """Check one written file."""

    name: str
    """The file as it is called in what is said of it."""
    path: Path
    """The file."""
    source: Path | None
    """The source that it was made from; None to check the file alone."""
    thorough: bool
    """Whether other programs look at many more tiles."""
    workers: int
    """How many threads work on it."""
    is_asked_for: bool = True
    """Whether the file was named, or a ledger knows it; else it may be a TIFF that is none of ours."""

    def run(self, on_progress: Progress) -> JobOutcome:
        """Check it and return what was found; a file of others is skipped."""
        try:
            if not self.is_asked_for and _is_foreign(self.path):
                return JobOutcome(State.SKIPPED, FOREIGN)
            found = verify_file(self.path, self.source, self.thorough, self.workers, on_progress)
        except Exception as exc:  # the boundary between a file and the others
            return JobOutcome(State.FAILED, error=outcome_of_error(exc, self.path).error)
        if found.is_sound:
            return JobOutcome(State.DONE, verification=found)
        return JobOutcome(State.FAILED, PROBLEMS, str(found.problems[0]), verification=found)


def _is_foreign(path: Path) -> bool:
    """Return whether a file is a whole TIFF that wsicomp did not write; a damaged one may be ours."""
    if not is_tiff(path):
        return False
    try:
        with closing(open_tiff(path)) as slide:
            return slide.provenance is None
    except UnsupportedSlideError:
        return True
    except SlideReadError:
        return False
