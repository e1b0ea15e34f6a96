"""`wsicomp study`: measure what compression does to networks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from wsicomp.cli.commands import Command
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import say
from wsicomp.options import REQUIRED, argument, option

_EPILOG = """\
examples:
  wsicomp study downstream configs/studies/downstream-volumes.toml \\
      --data hippocampus --out runs/downstream
  wsicomp study downstream configs/studies/downstream-slides.toml \\
      --data sections.h5 --out runs/slides
"""


@dataclass(frozen=True, kw_only=True)
class StudyDownstreamOptions:
    """Arguments of `wsicomp study downstream`."""

    settings: Path = argument("the TOML file of settings", metavar="CONFIG")
    out: Path = option(REQUIRED, "the folder of the results; a study that is there goes on", metavar="DIR")
    data: Path | None = option(
        None, "take these data: a folder with images and labels, or a patch set", metavar="PATH"
    )


def run_study_downstream(options: StudyDownstreamOptions) -> int:
    """Compress data by JPEG 2000 at several rates, and measure what a segmentation network loses.

    Networks learn from uncompressed data, or from those of every rate, and are tested on every rate. DIR
    gets index.html with the verdict, results.json, tables, and a file for each network. What is done is
    not done again: if a study was stopped, the same command goes on. Needs pip install
    'wsicomp[train,volumes]'.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from wsicomp.downstream.settings import load_study
    from wsicomp.downstream.study import run_study
    from wsicomp.downstream.study_report import write_study
    from wsicomp.downstream.study_verdict import conclusions_of
    from wsicomp.extras import require

    settings = load_study(options.settings, options.data)
    require("train,volumes", "keras", "h5py" if settings.kind == "slides" else "nibabel")
    with progress_bars() as show:
        found = run_study(settings, options.out, show)
    told = conclusions_of(found)
    page = write_study(found, told, options.out)
    say(told.verdict)
    say(str(page))
    return 0


COMMANDS = (Command("study downstream", (StudyDownstreamOptions,), run_study_downstream, epilog=_EPILOG),)
