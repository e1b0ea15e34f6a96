"""Checking a file by its path, alone or beside its source: what the command and the library both call."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from wsicomp.concurrency.threads import available_cores
from wsicomp.files.inputs import check_file
from wsicomp.formats.identity import slide_identity
from wsicomp.formats.opening import open_source
from wsicomp.progress import Progress, Stages
from wsicomp.verification.verify import Verification, verify_slide


def verify_file(
    path: Path,
    source: Path | None = None,
    thorough: bool = False,
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> Verification:
    """Return the findings of `verify_slide` for a file, and for its source where one is given.

    `workers` are threads, one a core by default.

    Raises:
        SlideReadError: there is no such file, or the source cannot be read.
    """
    workers, stages = workers or available_cores(), Stages(on_progress)
    check_file(path)
    if source is None:
        with stages.stage("verify") as progress:
            return verify_slide(path, None, None, workers, progress, thorough=thorough)
    check_file(source)
    with closing(open_source(source, path)) as slide, stages.stage("verify") as progress:
        sha256 = slide_identity(source)[1]
        return verify_slide(path, slide, sha256, workers, progress, thorough=thorough)
