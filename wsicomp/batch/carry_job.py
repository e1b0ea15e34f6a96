"""Carry one file into the target tree as it is: its bytes, mode, owner and time."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from wsicomp.batch.carried import Carried
from wsicomp.batch.entry import State
from wsicomp.batch.ledger_files import aside_path
from wsicomp.batch.outcomes import JobOutcome, outcome_of_error
from wsicomp.errors import TargetExistsError
from wsicomp.files.alike import folders_to, make_alike, move_aside
from wsicomp.files.attributes import Attributes
from wsicomp.files.copying import copy_open_file
from wsicomp.files.folders import Folder, held_path, opened_folder
from wsicomp.progress import Progress, StageProgress, Stages
from wsicomp.text.paths import as_path

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class CarryJob:
    """Copy one file as it is, and check the copy by its SHA-256.

    No link is followed, and the copy is never a hard link. Where the file system can share the blocks of two
    files, the copy takes no space.
    """

    name: str
    """The file's path in the source tree, as text."""
    target_name: str
    """The copy's path in the target tree, as text."""
    why: str
    """Why the file is carried, as `Carried.why`."""
    source: Path
    """The file."""
    source_root: Path
    """The source tree."""
    target: Path
    """The copy."""
    root: Path
    """The target tree."""
    ours: Carried | None = None
    """The record of an earlier copy by this name, which may be replaced; None without one."""
    recheck: bool = False
    """Whether what took the place of an earlier copy, or became of it, is moved aside."""

    def run(self, on_progress: Progress) -> JobOutcome:
        """Copy the file, unless a file with its content is there already; the outcome is done or failed."""
        try:
            carried, aside = self._carried(Stages(on_progress))
            return JobOutcome(State.DONE, carried=carried, aside=aside)
        except Exception as exc:
            return outcome_of_error(exc, self.source)

    def _carried(self, stages: Stages) -> tuple[Carried, str]:
        """Return the record of the copy, and what was moved aside for it; "" for nothing."""
        aside, folders = "", folders_to(self.source, as_path(self.name))
        make_alike(self.target.parent, self.root, folders)
        with (
            opened_folder(self.source.parent, self.source_root) as here,
            opened_folder(self.target.parent, self.root) as there,
            FileIO(here.open(self.source.name, os.O_RDONLY)) as file,
        ):
            before = os.fstat(file.fileno())
            with stages.stage("checksum") as progress:
                sha256 = _sha256(file, progress)
            present = there.status(self.target.name)
            found = "" if present is None else self._present_sha256(there, stages)
            if found != sha256:
                if present is not None and not self._is_ours(present, found):
                    aside, present = self._made_way(folders), None
                alike = Attributes.of(held_path(file.fileno(), self.source), with_time=True)
                with stages.stage("copy") as progress:
                    copy_open_file(file, self.target, alike, sha256, present is not None, self.root, progress)
            written = os.stat(self.target.name, dir_fd=there.descriptor, follow_symlinks=False)
        record = Carried(
            self.name,
            self.target_name,
            self.why,
            written.st_size,
            before.st_mtime_ns,
            sha256,
            written.st_mtime_ns,
        )
        return record, aside

    def _present_sha256(self, there: Folder, stages: Stages) -> str:
        """Return the SHA-256 of the file that has the copy's name."""
        with FileIO(there.open(self.target.name, os.O_RDONLY)) as file, stages.stage("verify") as progress:
            return _sha256(file, progress)

    def _is_ours(self, present: os.stat_result, sha256: str) -> bool:
        """Return whether the file that has the copy's name is our copy, by size and time or SHA-256."""
        if self.ours is None:
            return False
        return (present.st_size, present.st_mtime_ns) == self.ours.target_facts or sha256 == self.ours.sha256

    def _made_way(self, folders: list[Path]) -> str:
        """Move aside the file that has the copy's name, and say so.

        Raises:
            TargetExistsError: nothing was carried there, or nobody asked for it.
        """
        if self.ours is None:
            raise TargetExistsError("exists already and was not carried there; move it away", self.target)
        if not self.recheck:
            message = "is not what was carried there; `recheck=True` moves it aside and carries the file anew"
            raise TargetExistsError(message, self.target)
        place = move_aside(self.target, aside_path(self.root, self.target_name), self.root, folders)
        return f"what stood in the place of its copy is now {place}"


def _sha256(file: FileIO, progress: StageProgress) -> str:
    """Return the SHA-256 of an open file."""
    file.seek(0)
    total, digest = os.fstat(file.fileno()).st_size, hashlib.sha256()
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
        progress(min(file.tell(), total), total)
    return digest.hexdigest()
