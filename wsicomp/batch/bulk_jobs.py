"""Jobs on the conversions of a folder, one file each: restore its source, or verify it."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from wsicomp.batch.entry import State
from wsicomp.batch.outcomes import OTHER_SLIDE, JobOutcome, outcome_of_error
from wsicomp.batch.restored_parts import move_missing, parts_there, slide_folder
from wsicomp.batch.target_jobs import check_regular_file, is_tiff, read_provenance, stated_source
from wsicomp.conversion.restore import restore_slide
from wsicomp.errors import SlideReadError, TargetExistsError, UnsupportedSlideError
from wsicomp.files.alike import folders_to, make_alike
from wsicomp.files.copying import copy_file
from wsicomp.files.folders import is_own, opened_folder
from wsicomp.files.unfinished import temporary_folder
from wsicomp.formats.identity import file_sha256
from wsicomp.formats.opening import open_tiff
from wsicomp.formats.packed.container import PackedSlide, is_pack
from wsicomp.plan.provenance import Provenance
from wsicomp.progress import Progress, Stages
from wsicomp.verification.files import verify_file
from wsicomp.verification.problems import Problem
from wsicomp.verification.verify import Verification

NOT_RESTORABLE, FOREIGN, PROBLEMS = "not restorable", "not written by wsicomp", "problems"

_OF_ANOTHER = "its conversion was made from another file than the ledger says; run the batch again"
_NOT_THE_LEDGERS = "is the conversion of another file than the ledger says; run the batch again"
_SAYS_NOTHING = "holds no provenance, but is a conversion by the ledger; run the batch again"
_NOT_THAT = "is not the file that the batch found and copied"
_SAID_ALREADY = ("unreadable", "source-differs")
_FOREIGN = (
    "no conversion, and no ledger knows it; it may be a source's own file, which a batch puts in the place "
    "of a conversion that gains nothing: copy it"
)


@dataclass(frozen=True)
class RestoreJob:
    """Restore the source of one conversion, unless the very file is there already."""

    name: str
    """The source's path in its tree, as text."""
    converted: Path
    """The conversion."""
    archive: Path
    """The tree that it lies in."""
    target: Path
    """The file to write."""
    root: Path
    """The tree to write into."""
    workers: int
    """How many threads work on it."""
    source_sha256: str = ""
    """SHA-256 of the source by a ledger; "" where none says."""
    own_sha256: str = ""
    """SHA-256 of the file, where it is the source's own by a ledger; "" for a conversion."""
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
        if not self.own_sha256 and is_pack(self.converted):
            return self._unpacked(on_progress)
        provenance = None if self.own_sha256 else read_provenance(self.converted)
        if provenance is None:
            return self._copied(on_progress)
        source = provenance.plan.source
        if self.source_sha256 not in ("", source.sha256):
            return JobOutcome(State.FAILED, OTHER_SLIDE, _OF_ANOTHER)
        if self._is_there(source.bytes, source.sha256, on_progress):
            return JobOutcome(State.DONE, adopted=True)
        if provenance.restoration is None:
            return JobOutcome(State.SKIPPED, NOT_RESTORABLE, _why_not(provenance))
        self._make_place()
        how = self.overwrite, self.workers, on_progress, self.trust, self.root
        restore_slide(self.converted, self.target, *how)
        return JobOutcome(State.DONE)

    def _unpacked(self, on_progress: Progress) -> JobOutcome:
        """Restore all files of a packed slide, or those that are missing since an earlier run was killed.

        Raises:
            SlideReadError: it is damaged.
            TargetExistsError: another file has the name of one, and `overwrite` is False.
        """
        with PackedSlide(self.converted) as packed:
            manifest = packed.manifest
        if self.source_sha256 not in ("", manifest.source.sha256):
            return JobOutcome(State.FAILED, OTHER_SLIDE, _OF_ANOTHER)
        how = self.overwrite, self.workers, on_progress, self.trust
        if len(manifest.files) == 1:
            (file,) = manifest.files
            if self._is_there(file.bytes, file.sha256, on_progress):
                return JobOutcome(State.DONE, adopted=True)
            self._make_place()
            restore_slide(self.converted, self.target, *how, self.root)
            return JobOutcome(State.DONE)
        folder = slide_folder(manifest, self.target)
        with Stages(on_progress).stage("checksum") as progress:
            there, missing = parts_there(manifest, folder, self.root, progress)
        if not missing:
            return JobOutcome(State.DONE, adopted=True)
        self._make_folder(folder)
        if not there:
            restore_slide(self.converted, folder, *how, self.root)
            return JobOutcome(State.DONE)
        with temporary_folder(".wsicomp-", folder) as hidden:
            restore_slide(self.converted, hidden, *how)
            move_missing(hidden, folder, there, self.overwrite)
        return JobOutcome(State.DONE)

    def _copied(self, on_progress: Progress) -> JobOutcome:
        """Copy the source's own file, which was carried, or stands where a conversion gains nothing.

        Raises:
            SlideReadError: it is a damaged conversion, no slide, or not the file that the ledger says.
        """
        sha256 = self.source_sha256
        if self.own_sha256 and file_sha256(self.converted) != self.own_sha256:
            raise SlideReadError(_NOT_THAT, self.converted)
        if not sha256 or file_sha256(self.converted) != sha256:
            with closing(open_tiff(self.converted)):
                return JobOutcome(State.SKIPPED, FOREIGN, _FOREIGN)
        if self._is_there(self.converted.stat().st_size, sha256, on_progress):
            return JobOutcome(State.DONE, adopted=True)
        self._make_place()
        with Stages(on_progress).stage("copy") as progress:
            copy_file(self.converted, self.target, sha256, self.overwrite, self.root, True, progress)
        return JobOutcome(State.DONE)

    def _make_place(self) -> None:
        """Make the folder where the file goes, and refuse to write where another file is.

        Raises:
            TargetExistsError: another file has the target's name, and `overwrite` is False.
            SlideWriteError: a folder on the way is a link or no folder.
        """
        self._make_folder(self.target.parent)
        with opened_folder(self.target.parent, self.root):
            check_regular_file(self.target)
        if os.path.lexists(self.target) and not self.overwrite:
            message = "exists already and is another file; move it away or give `overwrite=True`"
            raise TargetExistsError(message, self.target)

    def _make_folder(self, folder: Path) -> None:
        folders = folders_to(self.converted, self.converted.relative_to(self.archive))
        make_alike(folder, self.root, folders)

    def _is_there(self, size: int, sha256: str, on_progress: Progress) -> bool:
        """Return whether the very file is there, byte for byte, with no link on the way."""
        if not is_own(self.target, self.root) or self.target.stat().st_size != size:
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
    own_sha256: str = ""
    """SHA-256 of the file, where it is the source's own by a ledger; "" for a conversion."""
    source_sha256: str = ""
    """SHA-256 of the source by a ledger; "" where none says."""

    def run(self, on_progress: Progress) -> JobOutcome:
        """Check it and return what was found; a file of others is skipped."""
        try:
            if not self.is_asked_for and _is_foreign(self.path):
                return JobOutcome(State.SKIPPED, FOREIGN)
            if self.own_sha256:
                self._check_own()
                return JobOutcome(State.DONE, verification=Verification((), 0, has_provenance=False))
            found = verify_file(self.path, self.source, self.thorough, self.workers, on_progress)
            found = self._beside_ledger(found)
        except Exception as exc:  # the boundary between a file and the others
            return JobOutcome(State.FAILED, error=outcome_of_error(exc, self.path).error)
        if found.is_sound:
            return JobOutcome(State.DONE, verification=found)
        return JobOutcome(State.FAILED, PROBLEMS, str(found.problems[0]), verification=found)

    def _beside_ledger(self, found: Verification) -> Verification:
        """Return what was found, and whether the file was made from another source than the ledger's.

        The SHA-256 of a conversion may differ from the ledger's: a later run may have made it, by other
        options.
        """
        if not self.source_sha256 or any(one.code in _SAID_ALREADY for one in found.problems):
            return found
        source = stated_source(self.path)
        if source is None:
            message = _SAYS_NOTHING
        else:
            if self.source_sha256 in (source.sha256, source.origin_sha256):
                return found
            message = _NOT_THE_LEDGERS
        return replace(found, problems=(Problem("source-differs", "file", message), *found.problems))

    def _check_own(self) -> None:
        """Check that a source's own file is still that, and that of its source where one is given.

        Raises:
            SlideReadError: it is not.
        """
        for path in filter(None, (self.path, self.source)):
            if file_sha256(path) != self.own_sha256:
                raise SlideReadError(_NOT_THAT, path)


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
