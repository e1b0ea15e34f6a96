"""Carry one file into the target tree as it is: its bytes, mode, owner and time."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from wsicomp.batch.carried import Carried
from wsicomp.batch.entry import State
from wsicomp.batch.outcomes import JobOutcome, outcome_of_error
from wsicomp.errors import TargetExistsError
from wsicomp.files.alike import folders_to, make_alike
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
    ours: tuple[int, int] | None = None
    """Bytes and time (ns) of an earlier copy, which may be replaced; None without one."""

    def run(self, on_progress: Progress) -> JobOutcome:
        """Copy the file, unless a file with its content is there already; the outcome is done or failed."""
        try:
            return JobOutcome(State.DONE, carried=self._carried(Stages(on_progress)))
        except Exception as exc:
            return outcome_of_error(exc, self.source)

    def _carried(self, stages: Stages) -> Carried:
        make_alike(self.target.parent, self.root, folders_to(self.source, as_path(self.name)))
        with (
            opened_folder(self.source.parent, self.source_root) as here,
            opened_folder(self.target.parent, self.root) as there,
            FileIO(here.open(self.source.name, os.O_RDONLY)) as file,
        ):
            before = os.fstat(file.fileno())
            with stages.stage("checksum") as progress:
                sha256 = _sha256(file, progress)
            present = there.status(self.target.name)
            if present is None or not self._is_same(there, sha256, stages):
                self._check_ours(present)
                alike = Attributes.of(held_path(file.fileno(), self.source), with_time=True)
                with stages.stage("copy") as progress:
                    copy_open_file(file, self.target, alike, sha256, present is not None, self.root, progress)
            written = os.stat(self.target.name, dir_fd=there.descriptor, follow_symlinks=False)
        return Carried(
            self.name,
            self.target_name,
            self.why,
            written.st_size,
            before.st_mtime_ns,
            sha256,
            written.st_mtime_ns,
        )

    def _is_same(self, there: Folder, sha256: str, stages: Stages) -> bool:
        """Return whether the file that has the copy's name has its content already."""
        with FileIO(there.open(self.target.name, os.O_RDONLY)) as file, stages.stage("verify") as progress:
            return _sha256(file, progress) == sha256

    def _check_ours(self, present: os.stat_result | None) -> None:
        """Check that nothing would be replaced but an earlier copy.

        Raises:
            TargetExistsError: another file has the copy's name.
        """
        if present is not None and (present.st_size, present.st_mtime_ns) != self.ours:
            raise TargetExistsError("exists already and was not carried there; move it away", self.target)


def _sha256(file: FileIO, progress: StageProgress) -> str:
    """Return the SHA-256 of an open file."""
    file.seek(0)
    total, digest = os.fstat(file.fileno()).st_size, hashlib.sha256()
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
        progress(min(file.tell(), total), total)
    return digest.hexdigest()
